"""`hearth bridge NAME` and `hearth bridge NAME init`."""

import importlib
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import click
import yaml
from twisted.internet.defer import Deferred

from homeserver.cli.faults import MISCONFIGURED, Fault
from homeserver.cli.reactor import Reactor, TheReactor, run
from homeserver.cli.serving import Server, Signals, live
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import restart_logging, start_logging
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from matrix.ids import UserId
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare
from synapse_like_config import Config, ConfigFault
from synapse_like_config.sections.database import Database as DatabaseSection

if TYPE_CHECKING:
    from appservice.bridges.core.config_file import BridgeConfig
    from appservice.bridges.core.package import AnyPackage, Finding
    from appservice.bridges.core.process import Opened

NAMES = ("slack", "discord")

logger = logging.getLogger(__name__)


def package_of(name: str) -> "AnyPackage":
    """The network's package. Raises: Fault, if its libraries are not installed."""
    try:
        return cast("AnyPackage", importlib.import_module(f"appservice.bridges.{name}").PACKAGE)
    except ModuleNotFoundError as error:
        raise Fault(f"The bridges' libraries are not installed ({error.name}): pip install 'hearth[bridges]'") from None


def directory_of(data: Path, name: str) -> Path:
    """Where a bridge's files are, if nothing else is said."""
    return data.absolute() / "bridges" / name


# --- running


def serve(name: str, file: Path, the_reactor: TheReactor) -> None:
    """Runs the bridge until it is told to stop. Raises: Fault, and what hinders it from starting."""
    package, reactor = package_of(name), the_reactor(for_asyncio=True)
    config = _loaded(file, package)
    start_logging(config.settings.logging.log_config, level=config.settings.logging.level)
    for warning in config.warnings:
        logger.warning("Configuration: %s", warning)
    signals = Signals(reactor)
    if config.settings.logging.log_config is not None:
        signals.on_hangup.append(lambda: restart_logging(config.settings.logging.log_config))
    signals.install()
    clock = Clock(reactor)
    options = config.settings.appservice

    def on_ready(server: Server) -> None:
        address = options.bind_addresses[0]
        click.echo(f"The bridge to {package.title} listens for {config.settings.homeserver.server_name}.")
        click.echo(f"  listening on http://{f'[{address}]' if ':' in address else address}:{options.port}")

    async def build() -> Server:
        from appservice.bridges.core.process import BridgeProcess

        await _turn(clock)
        return BridgeProcess(config, package, _opened(config, reactor, file), clock)

    run(reactor, live(build, signals=signals, clock=clock, on_ready=on_ready, say=click.echo))


def _loaded(file: Path, package: "AnyPackage") -> "BridgeConfig":
    from appservice.bridges.core.config_file import load

    if not file.is_file():
        raise Fault(f"There is no {file}. Begin with: hearth bridge {package.name} init", MISCONFIGURED)
    try:
        return load(file, package, os.environ)
    except ConfigFault as fault:
        raise Fault(f"{file}: {fault}", MISCONFIGURED) from None


def _opened(config: "BridgeConfig", reactor: Reactor, file: Path) -> "Opened":
    from appservice.bridges.core.process import Opened

    dsn = DatabaseSection(database=config.settings.database).dsn
    close: Any = _nothing
    if dsn is None:
        data = config.settings.homeserver.data
        if data is None:
            raise Fault(f"{file}: give `database`, or `homeserver.data` for the PostgreSQL of a Hearth beside it.")
        postgres = EmbeddedPostgres(data / "postgres")
        dsn, close = postgres.dsn, postgres.stop
    prepare(dsn)
    return Opened(reactor=reactor, dsn=dsn, directory=file.absolute().parent, close_database=close)


def _nothing() -> None:
    """A PostgreSQL of the operator's goes on."""


# --- beginning


def begin(name: str, directory: Path, given: dict[str, Any], told: "Told", the_reactor: TheReactor) -> bool:
    """Writes what is not there, and says what is to be done; is the other side as it must be? Raises: Fault.

    `told`: what of the given options the command line has told. It goes into a file that is there, too.
    """
    from appservice.bridges.core.config_file import CONFIG, write, write_registrations

    package, file = package_of(name), directory / "bridge.yaml"
    if not file.exists():
        try:
            write(directory, package, given)
        except OSError as error:
            raise Fault(f"{error.filename}: {error.strerror}") from None
        click.echo(f"Wrote {file}.")
    else:
        _take_over(file, told, given["permissions"])
    config = _loaded(file, package)
    if (there := config.settings.homeserver.address) != (found := given["homeserver"]["address"]):
        click.echo(f"{file} has the homeserver at {there}; its configuration says {found}.")
        click.echo(f"If that is right, say this again with --homeserver {found}.\n")
    registrations = write_registrations(directory, config.settings, name)
    findings = _found(package, config, the_reactor(for_asyncio=True), directory)
    is_good = all(finding.is_good for finding in findings)
    if not is_good:
        click.echo(f"\n{package.instructions(config.settings.public.address)}")
    for finding in findings:
        click.echo(f"{' ok ' if finding.is_good else 'BAD '} {finding.topic}: {finding.text}")
    click.echo("")
    if not is_good:
        click.echo(f"When that is done, and the tokens stand in {directory / CONFIG}, say this again.")
        return False
    options, server_name = config.settings.appservice, config.settings.homeserver.server_name
    for line in _next_steps(name, directory, registrations, f"@{options.bot}:{server_name}"):
        click.echo(line)
    if "admin" not in config.settings.permissions.values():
        click.echo("Nobody runs the bridge yet, to be told what is wrong with it: say this again with --admin @you:...")
    return True


def _take_over(file: Path, told: "Told", permissions: Mapping[str, str]) -> None:
    """Options and admins that were told now go into a file that is there. Comments stay."""
    lines = file.read_text(encoding="utf-8").splitlines()
    admins = [user for user, level in permissions.items() if level == "admin"]
    if admins:
        _add_admins(lines, file, admins)
    for (section, key), value in told.items():
        at = _line_of(lines, section, key)
        text = f"  {key}: {yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}"
        if at is None:
            raise Fault(f"{file} has no line for {section}.{key}: write it there.", MISCONFIGURED)
        lines[at] = text
    if told or admins:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _add_admins(lines: list[str], file: Path, admins: Sequence[str]) -> None:
    at = next((at for at, line in enumerate(lines) if line.startswith("permissions: {")), None)
    if at is None:
        raise Fault(f"{file} has no line `permissions: {{...}}`: write there who is an admin.", MISCONFIGURED)
    permissions = yaml.safe_load(lines[at])["permissions"] | dict.fromkeys(admins, "admin")
    text = yaml.safe_dump(permissions, default_flow_style=True, sort_keys=False, width=10**6).strip()
    lines[at] = f"permissions: {text}"


def _line_of(lines: Sequence[str], name: str, key: str) -> int | None:
    is_inside = False
    for at, line in enumerate(lines):
        if line and not line.startswith((" ", "#")):
            is_inside = line.startswith(f"{name}:")
        if is_inside and line.removeprefix("#").startswith(f"  {key}:"):
            return at
    return None


def _next_steps(name: str, directory: Path, registrations: Sequence[Path], bot: str) -> list[str]:
    commands = [["hearth", "appservice", "add", str(file)] for file in registrations]
    commands.append(["hearth", "bridge", name, "-c", str(directory / "bridge.yaml")])
    return [
        "Everything is there. Tell the homeserver of the bridge (it may be running), then start it:",
        *(f"  {shlex.join(command)}" for command in commands),
        f"Then begin a chat with {bot}, and say `help`. In a room to which it is invited: `!{name} bridge CHANNEL`.",
    ]


def _found(package: "AnyPackage", config: "BridgeConfig", reactor: Reactor, directory: Path) -> "Sequence[Finding]":
    start_logging(level="ERROR")
    return run(reactor, _findings(package, config, reactor, directory))


async def _findings(
    package: "AnyPackage", config: "BridgeConfig", reactor: Reactor, directory: Path
) -> "Sequence[Finding]":
    from appservice.bridges.core.process import tools_of

    clock, metrics = Clock(reactor), Metrics()
    # The reactor's loop begins to run with it.
    await _turn(clock)
    tools = tools_of(reactor, clock, Tasks(clock=clock, metrics=metrics), metrics, directory, package.name)
    return await package.check(config.network, tools)


async def _turn(clock: Clock) -> None:
    turned: Deferred[None] = Deferred()
    clock.later(0, turned.callback, None)
    await turned


# Options by section and key.
Told = dict[tuple[str, str], Any]


class Wish(TypedDict):
    """What `init` was given."""

    homeserver: str | None
    public: str | None
    admins: tuple[str, ...]
    words: tuple[str, ...]


def told_options(name: str, wish: Wish) -> "Told":
    """What the command line tells. Raises: Fault."""
    addresses = {"homeserver": wish["homeserver"], "public": wish["public"]}
    told: Told = {(section, "address"): url for section, url in addresses.items() if url}
    return told | {(name, key): value for key, value in map(_option, wish["words"])}


def given_options(name: str, config: Config, wish: Wish) -> Any:
    """The sections of a new bridge.yaml, as far as the homeserver's configuration and the command line tell them.

    `words`: KEY=VALUE, options of the network. Raises: Fault, BadIdentifier.
    """
    listener = next((each for each in config.listeners.open if each.port and not each.tls), None)
    address = wish["homeserver"] or f"http://localhost:{listener.port if listener else 8008}"
    of_server: dict[str, Any] = {"server_name": str(config.server.server_name), "address": address}
    given: dict[str, Any] = {"homeserver": of_server, name: dict(_option(word) for word in wish["words"])}
    if config.database.dsn is None:
        of_server["data"] = str(config.data_directory)
    else:
        given["database"] = {"name": "psycopg2", "args": dict(config.database.database.args)}
    if wish["public"] is not None:
        given["public"] = {"address": wish["public"]}
    given["appservice"] = {"port": 29300 + NAMES.index(name)}
    admins = {str(UserId.parse(user)): "admin" for user in wish["admins"]}
    given["permissions"] = {"*": "relay", str(config.server.server_name): "user", **admins}
    return given


def _option(word: str) -> tuple[str, Any]:
    key, is_there, value = word.partition("=")
    if not is_there or not key.isidentifier():
        raise Fault(f"--set {word}: write KEY=VALUE", MISCONFIGURED)
    return key, value
