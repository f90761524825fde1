"""`hearth serve`: the one file that knows the composition root."""

import errno
import logging
import shlex
import sys
from pathlib import Path

import click

from homeserver.cli.database import await_database
from homeserver.cli.faults import Fault
from homeserver.cli.pid_file import pid_file
from homeserver.cli.reactor import Reactor, run
from homeserver.cli.serving import Server, Signals, announcement, live, prepare_process
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import restart_logging, start_logging
from homeserver.web.listeners import CannotBind
from synapse_like_config import Config
from synapse_like_config.sections.listeners import Listener, Listeners

_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104  recognised, not listened on

logger = logging.getLogger(__name__)

_PORT_FAULTS = {
    errno.EADDRINUSE: "is in use by another program, perhaps by another Hearth. Stop that one, or choose another port",
    errno.EACCES: "may not be used by this user: ports below 1024 are root's. Choose another, behind a proxy",
    errno.EADDRNOTAVAIL: "is on no address of this machine. Correct bind_addresses",
}


def serve(config: Config, reactor: Reactor, files: tuple[Path, ...]) -> None:
    """Runs a server of this configuration until it is told to stop. Raises: what hinders it from starting."""
    prepare_process(config.server.soft_file_limit)
    # Here, not above: the other commands must not wait for the whole server to be imported.
    from homeserver import app

    start_logging(config.logging.log_config)
    for warning in config.warnings:
        logger.warning("Configuration: %s", warning)
    await_database(config, click.echo)
    signals = Signals(reactor)
    signals.on_hangup.append(lambda: restart_logging(config.logging.log_config))
    signals.install()
    clock, urls = Clock(reactor), listening_urls(config.listeners)

    def on_ready(server: Server) -> None:
        click.echo(
            announcement(
                listening=urls,
                server_name=config.server.server_name,
                base_url=config.server.public_baseurl or next(iter(urls), config.base_url),
                token=server.first_user_token,
                register_command=register_command(config, files),
            )
        )

    life = live(lambda: app.build(config, reactor), signals=signals, clock=clock, on_ready=on_ready, say=click.echo)
    try:
        with pid_file(config.server.pid_file):
            run(reactor, life)
    except OSError as error:
        raise port_fault(error, config) or error from None


def port_fault(error: OSError, config: Config) -> Fault | None:
    """What the operator can do if a port cannot be had; None, if the error is another."""
    # A file's error has its name; a socket's has none.
    if error.errno not in _PORT_FAULTS or error.filename is not None:
        return None
    known = (
        [error.port] if isinstance(error, CannotBind) else [each.port or each.path for each in config.listeners.open]
    )
    return Fault(
        f"Port {', '.join(map(str, known))} {_PORT_FAULTS[error.errno]}, under `listeners:` in the configuration."
    )


def listening_urls(listeners: Listeners) -> list[str]:
    """Where a person on this machine reaches the listeners, each once."""
    urls = [url for listener in listeners.open if "metrics" not in listener.serves for url in _urls(listener)]
    return list(dict.fromkeys(urls))


def _urls(listener: Listener) -> list[str]:
    if listener.port is None:
        return []
    scheme = "https" if listener.tls else "http"
    return [f"{scheme}://{_host(address)}:{listener.port}" for address in listener.bind_addresses]


def _host(address: str) -> str:
    if address in _THIS_MACHINE:
        return "localhost"
    return f"[{address}]" if ":" in address else address


def register_command(config: Config, files: tuple[Path, ...]) -> str:
    """The line that makes an administrator of this very server, whichever directory it is typed in."""
    options = [word for file in files for word in ("-c", str(file.absolute()))]
    program = [sys.executable, "-m", "homeserver"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    return shlex.join([*program, "register-user", "--admin", *options, "--data", str(config.data_directory)])
