"""`hearth register-user`: an account made straight in the database, by the same service that the server uses.

It needs no running server and disturbs none: every process hears of the commit, and the embedded PostgreSQL serves all
processes that ask for it in its directory.
"""

import sys
from typing import IO

import click
from attrs import frozen

from homeserver.cli.database import await_database
from homeserver.cli.faults import MISCONFIGURED, Fault
from homeserver.cli.reactor import Reactor, run
from homeserver.runtime.logs import start_logging
from matrix.ids import UserId, is_new_localpart
from synapse_like_config import Config


@frozen
class Wish:
    """The account to make."""

    localpart: str
    password: str
    admin: bool


def given_password(password: str | None, file: IO[str] | None) -> str | None:
    """The password of the options, if any. Of a file the first line is taken."""
    if password is not None and file is not None:
        raise click.UsageError("Give --password or --password-file, not both.")
    return file.readline().rstrip("\r\n") if file is not None else password


def asked_for(user: str | None, password: str | None, admin: bool | None) -> Wish:
    """The options, and what is not among them from the terminal. Raises: Fault for what no account can have."""
    is_interactive = sys.stdin.isatty()
    if user is None:
        user = click.prompt("User name")
    if not is_new_localpart(user):
        raise Fault(
            f"{user!r} cannot be a user name: it is made of the letters a to z, digits and . _ = / + -", MISCONFIGURED
        )
    if password is None:
        if not is_interactive:
            raise Fault(
                "No terminal to ask for the password: give --password-file FILE, - for standard input.", MISCONFIGURED
            )
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise Fault("The password is empty.", MISCONFIGURED)
    if admin is None:
        # A script that does not say so wants no administrator.
        admin = is_interactive and click.confirm("Shall it be an administrator?", default=False)
    return Wish(user, password, admin)


def register(config: Config, reactor: Reactor, wish: Wish) -> UserId:
    """The new user. Raises: MatrixError, if the name is taken or the password too weak."""
    start_logging(level="WARNING")
    await_database(config, click.echo)
    return run(reactor, _register(config, reactor, wish))


async def _register(config: Config, reactor: Reactor, wish: Wish) -> UserId:
    # Here, not above: the other commands must not wait for the whole server to be imported.
    from homeserver import app

    # Built, but not started: it has a database and services, and listens nowhere.
    server = await app.build(config, reactor)
    try:
        return await server.register_user(wish.localpart, wish.password, admin=wish.admin)
    finally:
        await server.stop()
