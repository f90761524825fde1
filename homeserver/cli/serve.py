"""`hearth serve`: the one file that knows the composition root."""

import shlex
import sys
from pathlib import Path

import click

from homeserver.cli.reactor import Reactor, run
from homeserver.cli.serving import Server, Signals, announcement, live, prepare_process
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import start_logging
from synapse_like_config import Config


def serve(config: Config, reactor: Reactor, files: tuple[Path, ...]) -> None:
    """Runs a server of this configuration until it is told to stop. Raises: what hinders it from starting."""
    # Here, not above: the other commands must not wait for the whole server to be imported.
    from homeserver import app

    start_logging(config.logging.log_config)
    prepare_process()
    signals = Signals(reactor)
    signals.install()
    clock = Clock(reactor)

    def on_ready(server: Server) -> None:
        click.echo(
            announcement(
                listening=server.listening,
                server_name=config.server.server_name,
                base_url=config.server.public_baseurl or server.listening[0],
                token=server.first_user_token,
                register_command=register_command(config, files),
            )
        )

    run(
        reactor,
        live(lambda: app.build(config, reactor), signals=signals, clock=clock, on_ready=on_ready, say=click.echo),
    )


def register_command(config: Config, files: tuple[Path, ...]) -> str:
    """The line that makes an administrator of this very server, whichever directory it is typed in."""
    options = [word for file in files for word in ("-c", str(file.absolute()))]
    program = [sys.executable, "-m", "homeserver"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    return shlex.join([*program, "register-user", "--admin", *options, "--data", str(config.data_directory)])
