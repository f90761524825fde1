"""The commands. Each reads its words, loads the configuration, and hands on to one function."""

from pathlib import Path
from typing import TextIO, Unpack

import click

from homeserver import VERSION
from homeserver.cli import accounts, appservices, bridges, database, federation, serve, signing_keys
from homeserver.cli.faults import FAILED, Commands, Fault
from homeserver.cli.options import bound_to, load, prepare_data, with_configuration
from homeserver.cli.reactor import TheReactor
from homeserver.runtime.logs import check_file
from matrix.ids import BadIdentifier
from synapse_like_config import generate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def hearth() -> None:
    """Hearth, a Matrix homeserver."""


@hearth.command("serve")
@with_configuration
@click.option("--bind", multiple=True, metavar="ADDRESS", help="Where to listen if the configuration does not say.")
@click.pass_obj
def serve_command(reactor: TheReactor, files: tuple[Path, ...], data: Path, bind: tuple[str, ...]) -> None:
    """Run the server, until SIGTERM or Ctrl-C."""
    config = bound_to(load(files, data), bind)
    prepare_data(config.data_directory)
    serve.serve(config, reactor(), files)


@hearth.command("generate-config")
@click.option("--server-name", required=True, help="What stands after the colon in user ids. It can never change.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A new file; else to stdout.")
def generate_config(server_name: str, output: Path | None) -> None:
    """Write a configuration file with every option explained."""
    try:
        text = generate.sample(server_name)
    except BadIdentifier as error:
        raise click.BadParameter(str(error), param_hint="--server-name") from None
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # "x": an existing configuration is never overwritten.
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Fault(f"{output} exists already. Move it away, or choose another name.") from None
    click.echo(f"Wrote {output}. Start with: hearth serve -c {output}")


@hearth.command("check-config")
@with_configuration
def check_config(files: tuple[Path, ...], data: Path) -> None:
    """Say what is wrong in the configuration, all at once."""
    config = load(files, data)
    for warning in config.warnings:
        click.echo(f"Warning: {warning}", err=True)
    appservices.of_files(config)
    if config.logging.log_config is not None:
        check_file(config.logging.log_config)
    click.echo(f"The configuration is good. The server name is {config.server.server_name}.")


@hearth.command("register-user")
@with_configuration
@click.option("-u", "--user", help="User name, the part before the colon; else asked for.")
@click.option("-p", "--password", help="Seen by others in the list of processes; else asked for.")
@click.option("--password-file", type=click.File("r"), help="A file with the password; - is standard input.")
@click.option("--admin/--no-admin", "-a", default=None, help="An administrator? Else asked for.")
@click.pass_obj
def register_user(
    reactor: TheReactor,
    files: tuple[Path, ...],
    data: Path,
    user: str | None,
    password: str | None,
    password_file: TextIO | None,
    admin: bool | None,
) -> None:
    """Make an account, whether the server runs or not."""
    config = load(files, data)
    prepare_data(config.data_directory)
    wish = accounts.asked_for(user, accounts.given_password(password, password_file), admin)
    user_id = accounts.register(config, reactor(), wish)
    click.echo(f"Made {user_id}{', an administrator' if wish.admin else ''}.")


@hearth.command("migrate")
@with_configuration
def migrate(files: tuple[Path, ...], data: Path) -> None:
    """Bring the database to the schema of this version. `serve` does it too, when it starts."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(database.migrated(config))


@hearth.command("rotate-key")
@with_configuration
def rotate_key(files: tuple[Path, ...], data: Path) -> None:
    """Make a new signing key, which the server takes up when it is started again."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(signing_keys.rotated(config))


@hearth.group("federation")
def federation_group() -> None:
    """What stands between this server and others."""


@federation_group.command("check")
@with_configuration
@click.argument("name")
@click.pass_obj
def federation_check(reactor: TheReactor, files: tuple[Path, ...], data: Path, name: str) -> None:
    """Try to reach the server NAME, step by step, as this server would."""
    if not federation.check(load(files, data), reactor(), name):
        raise click.exceptions.Exit(FAILED)


@federation_group.command("status")
@with_configuration
@click.pass_obj
def federation_status(reactor: TheReactor, files: tuple[Path, ...], data: Path) -> None:
    """List the servers that do not answer, or have not been told everything."""
    config = load(files, data)
    prepare_data(config.data_directory)
    federation.status(config, reactor())


@hearth.group("appservice")
def appservice_group() -> None:
    """Bridges and other application services, while the server runs or not."""


@appservice_group.command("add")
@with_configuration
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def appservice_add(reactor: TheReactor, files: tuple[Path, ...], data: Path, file: Path) -> None:
    """Take up the registration in FILE; one of the same id is replaced."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(appservices.add(config, reactor(), file))


@appservice_group.command("list")
@with_configuration
@click.pass_obj
def appservice_list(reactor: TheReactor, files: tuple[Path, ...], data: Path) -> None:
    """List the application services."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(appservices.listing(config, reactor()))


@appservice_group.command("remove")
@with_configuration
@click.argument("id")
@click.pass_obj
def appservice_remove(reactor: TheReactor, files: tuple[Path, ...], data: Path, id: str) -> None:
    """Remove the application service ID, which was added. Its users and rooms stay."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(appservices.remove(config, reactor(), id))


@appservice_group.command("status")
@with_configuration
@click.pass_obj
def appservice_status(reactor: TheReactor, files: tuple[Path, ...], data: Path) -> None:
    """Say how far each application service was told, and what hinders it."""
    config = load(files, data)
    prepare_data(config.data_directory)
    click.echo(appservices.status(config, reactor()))


@hearth.group("bridge")
def bridge_group() -> None:
    """Bridges to other networks, each a process of its own."""


def _add_bridge(name: str) -> None:
    """`hearth bridge NAME` and `hearth bridge NAME init`."""

    @bridge_group.group(name, invoke_without_command=True, help=f"Run the bridge to {name.title()}.")
    @click.option(
        "-c",
        "--config",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Its bridge.yaml; else the one below the data directory.",
    )
    @click.option("--data", envvar="HEARTH_DATA", default="data", type=click.Path(file_okay=False, path_type=Path))
    @click.pass_context
    def run_bridge(context: click.Context, file: Path | None, data: Path) -> None:
        if context.invoked_subcommand is None:
            bridges.serve(name, file or bridges.directory_of(data, name) / "bridge.yaml", context.obj)

    @run_bridge.command("init")
    @with_configuration
    @click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where its files are to be.")
    @click.option("--homeserver", metavar="URL", help="Where the bridge reaches the homeserver.")
    @click.option("--public", metavar="URL", help="The https address under which the outer world reaches the bridge.")
    @click.option("--admin", "admins", multiple=True, metavar="USER", help="Who runs the bridge: @you:example.org")
    @click.option("--set", "words", multiple=True, metavar="KEY=VALUE", help="An option of the network: a token.")
    @click.pass_obj
    def init_bridge(
        reactor: TheReactor,
        files: tuple[Path, ...],
        data: Path,
        directory: Path | None,
        **wish: Unpack[bridges.Wish],
    ) -> None:
        """Write its configuration and registration, say what the other side needs, and check that."""
        config = load(files, data)
        try:
            given = bridges.given_options(name, config, wish)
        except BadIdentifier as error:
            raise click.BadParameter(str(error), param_hint="--admin") from None
        directory = directory or bridges.directory_of(config.data_directory, name)
        if not bridges.begin(name, directory, given, bridges.told_options(name, wish), reactor):
            raise click.exceptions.Exit(FAILED)


for _name in bridges.NAMES:
    _add_bridge(_name)


@hearth.command("version")
def version() -> None:
    """Print the version."""
    click.echo(f"Hearth {VERSION}")
