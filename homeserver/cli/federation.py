"""`hearth federation check` and `hearth federation status`: what stands between us and other servers."""

import time
from collections.abc import Sized
from datetime import UTC, datetime

import click

from homeserver.cli.database import await_database, reachable
from homeserver.cli.faults import MISCONFIGURED, Fault
from homeserver.cli.reactor import Reactor, run
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import start_logging
from homeserver.runtime.metrics import Metrics
from matrix.ids import BadIdentifier, ServerName
from storage import destinations
from storage.database import Database
from storage.opened import prepare
from synapse_like_config import Config

# More is no list for people.
MAX_LISTED = 200


def check(config: Config, reactor: Reactor, name: str) -> bool:
    """Tells step by step how the server of that name is reached; was all of it good? Raises: Fault for no name."""
    try:
        server = ServerName.parse(name)
    except BadIdentifier as error:
        raise Fault(str(error), MISCONFIGURED) from None
    start_logging(level="ERROR")
    return run(reactor, _check(config, reactor, server))


async def _check(config: Config, reactor: Reactor, server: ServerName) -> bool:
    # Here, not above: the other commands must not wait for the whole server to be imported.
    from federation.outbound.check import ServerCheck
    from homeserver.app.federation import build_wire

    clock = Clock(reactor, monotonic=time.monotonic)
    wire = build_wire(config, reactor, clock, Metrics())
    is_good = True
    try:
        async for finding in ServerCheck(wire=wire, clock=clock).findings(server):
            is_good = is_good and finding.is_good
            click.echo(f"{' ok ' if finding.is_good else 'BAD '} {finding.topic}: {finding.text}")
    finally:
        await wire.close()
    if not config.federation.may_talk_to(server):
        click.echo("BAD  Configuration: federation_domain_whitelist does not name it")
        is_good = False
    click.echo(f"{server} can be federated with." if is_good else f"{server} has faults.")
    return is_good


def status(config: Config, reactor: Reactor) -> None:
    """Lists the servers that do not answer or have not been told everything."""
    start_logging(level="ERROR")
    await_database(config, click.echo)
    with reachable(config) as dsn:
        prepare(dsn)
        database = Database(dsn, reactor=reactor, threads=1)
        database.start()
        try:
            for line in run(reactor, lines_of_status(database, Clock(reactor).now_ms())):
                click.echo(line)
        finally:
            database.stop()


async def lines_of_status(database: Database, now_ms: int) -> list[str]:
    """The servers with faults, each with what is known of them, and how many there are."""
    from federation.outbound.queue_status import waiting_destinations

    behind = {str(each.destination): each for each in await waiting_destinations(database, MAX_LISTED)}
    failing = await database.read(destinations.newest, MAX_LISTED)
    lines = []
    for name in sorted({*behind, *failing}):
        words = []
        if name in failing:
            words.append(
                f"has not answered since {_at(failing[name].since_ms)}, {_again(failing[name].retry_at_ms, now_ms)}"
            )
        if name in behind:
            words.append(f"up to {behind[name].positions} events behind, {behind[name].waiting_edus} EDUs wait")
        lines.append(f"{name}: {'; '.join(words)}")
    return [*lines, f"Servers that are behind: {_count(behind)}; that do not answer: {_count(failing)}."]


def _count(listed: Sized) -> str:
    return str(len(listed)) if len(listed) < MAX_LISTED else f"{MAX_LISTED} or more"


def _again(retry_at_ms: int, now_ms: int) -> str:
    return f"asked again in {(retry_at_ms - now_ms) // 1000} s" if retry_at_ms > now_ms else "may be asked again"


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
