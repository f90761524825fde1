"""`hearth federation`: what it finds of servers that are well, and of those that are not."""

from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest_twisted
from twisted.internet import reactor

from federation.outbound.check import Finding, ServerCheck
from homeserver.cli.federation import MAX_LISTED, lines_of_status
from homeserver.runtime.clock import Clock
from matrix.ids import ServerName
from matrix.server_keys import publish
from matrix.signing import SigningKey
from storage.database import Database
from storage.destinations import Failing, write
from tests.integration.federation.tls_servers import Raw, RawServer, make_wire
from tests.support.certificates import DAY, NOW, Authority

KEY = SigningKey.from_seed("a", b"a" * 32)


class World:
    """A server on this machine; `date`, `version` and `keys` are what it tells."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.date: str | None = None  # now
        self.version: Any = {"server": {"name": "Fake", "version": "1"}}
        self.keys: Any = None
        self.server: RawServer | None = None

    def serve(self, until: Any = NOW + 100 * DAY) -> ServerName:
        self.server = RawServer(self.authority.issue("localhost", until=until), self._answer)
        name = ServerName(f"localhost:{self.server.port}")
        until_ms = int((NOW + DAY).timestamp() * 1000)
        self.keys = publish(name, [KEY], {}, until_ms)
        return name

    def _answer(self, raw: Raw) -> None:
        body = orjson.dumps(self.version if b"/version" in raw.head else self.keys)
        date = self.date or formatdate(usegmt=True)
        head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n"
        raw.write(head.encode() + body)

    async def bad(self, name: ServerName) -> list[str]:
        """What is found to be bad."""
        return [finding.text for finding in await self.findings(name) if not finding.is_good]

    async def findings(self, name: ServerName) -> list[Finding]:
        wire = make_wire(self.authority)
        found = [each async for each in ServerCheck(wire=wire, clock=Clock(reactor)).findings(name)]
        await wire.close()
        return found


@pytest_twisted.async_yield_fixture
async def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    if made.server is not None:
        await made.server.stop()


async def test_all_is_told_of_a_server_that_is_well(world: World) -> None:
    name = world.serve()
    found = await world.findings(name)
    assert all(finding.is_good for finding in found), found
    text = "\n".join(f"{finding.topic}: {finding.text}" for finding in found)
    for part in (
        "its name has a port",
        f"Host: {name}",
        "TLSv1.3",
        "Test CA",
        "99 more days",
        "Fake 1",
        "agrees",
        "ed25519:a",
    ):
        assert part in text, part


async def test_a_name_that_nobody_has(world: World) -> None:
    assert await world.bad(ServerName("1.2.3.4.5")) == ["it is no IP address"]


async def test_nobody_at_home(world: World) -> None:
    name = world.serve()
    assert world.server is not None
    await world.server.stop()
    (bad,) = await world.bad(name)
    assert "refused" in bad


async def test_a_certificate_that_will_not_do(world: World, tmp_path: Path) -> None:
    name = world.serve(until=NOW - DAY)
    assert await world.bad(name) == ["the certificate has expired"]


async def test_a_certificate_that_ends_soon(world: World) -> None:
    (bad,) = await world.bad(world.serve(until=NOW + 2 * DAY))
    assert "good for 1 more days" in bad


async def test_a_clock_that_is_wrong(world: World) -> None:
    name = world.serve()
    world.date = formatdate((NOW - DAY).timestamp(), usegmt=True)
    (bad,) = await world.bad(name)
    assert "behind ours" in bad


async def test_keys_of_somebody_else(world: World) -> None:
    name = world.serve()
    world.keys = publish(ServerName("other.test"), [KEY], {}, 5)
    assert await world.bad(name) == ["the keys are of another server"]


async def test_an_answer_that_is_none(world: World) -> None:
    name = world.serve()
    world.version = []
    (bad,) = await world.bad(name)
    assert "status 200" in bad


async def test_what_a_server_says_of_itself_moves_no_cursor(world: World) -> None:
    name = world.serve()
    world.version = {"server": {"name": "\x1b[2J\x1b]0;gone\x07", "version": "1\nBAD all is lost"}}
    found = await world.findings(name)
    assert any(finding.text == "it is ?[2J?]0;gone? 1?BAD all is lost" for finding in found), found


async def test_of_very_many_who_do_not_answer_it_is_said_that_they_are_more(dsn: str) -> None:
    database = Database(dsn, reactor=reactor, threads=1)
    database.start()
    gone = [(f"gone{number}.test", Failing(1, 2, 1)) for number in range(MAX_LISTED + 5)]
    await database.run(write, gone, [])
    lines = await lines_of_status(database, 5)
    assert (len(lines), lines[-1]) == (201, "Servers that are behind: 0; that do not answer: 200 or more.")
    database.stop()


async def test_the_status_lists_who_does_not_answer(dsn: str) -> None:
    database = Database(dsn, reactor=reactor, threads=1)
    database.start()
    assert await lines_of_status(database, 0) == ["Servers that are behind: 0; that do not answer: 0."]
    await database.run(write, [("gone.test", Failing(1_700_000_000_000, 1_700_000_060_000, 60_000))], [])
    lines = await lines_of_status(database, 1_700_000_030_000)
    assert lines == [
        "gone.test: has not answered since 2023-11-14 22:13:20 UTC, asked again in 30 s",
        "Servers that are behind: 0; that do not answer: 1.",
    ]
    database.stop()
