"""What a message between two servers costs PostgreSQL: statements counted, so that they stay as few."""

from collections.abc import AsyncIterator

import pytest_twisted

from tests.integration.federation.listening import told_all, until
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q
from tests.support.statements import Statements, statements

__all__ = ["statements"]

MESSAGES = 8


class Pair:
    """alice at one.test and bob at two.test, in a room."""

    def __init__(self, one: Homeserver, two: Homeserver, alice: Client, bob: Client, room: str) -> None:
        self.one, self.two = one, two
        self.alice, self.bob = alice, bob
        self.room = room
        self._since = ""

    async def tell(self, body: str) -> None:
        """alice says it, bob sees it, and nothing more is to be told."""
        sync = await self.bob.ask("GET", "/sync", since=self._since, timeout=0)
        self._since = sync.json["next_batch"]
        await self.alice.send(self.room, body)
        seen: list[str] = []
        while body not in seen:
            answer = await self.bob.ask("GET", "/sync", since=self._since, timeout=10_000)
            self._since = answer.json["next_batch"]
            joined = answer.json.get("rooms", {}).get("join", {}).get(self.room, {})
            seen += [one["content"].get("body") for one in joined.get("timeline", {}).get("events", ())]
        await told_all(self.one)


@pytest_twisted.async_yield_fixture
async def pair(statements: Statements, network: Network) -> AsyncIterator[Pair]:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    await bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    await until(lambda: not two.server.sending.outbox.queues)
    found = Pair(one, two, alice, bob, room)
    await found.tell("the first fills all that is kept in memory")
    yield found


async def test_a_message_costs_a_commit_at_each_server_and_one_look_where_it_arrives(
    pair: Pair, statements: Statements
) -> None:
    reads, commits = [], []
    for number in range(MESSAGES):
        statements.clear()
        await pair.tell(str(number))
        reads.append((statements.reads(pair.one), statements.reads(pair.two)))
        commits.append((statements.commits(pair.one), statements.commits(pair.two)))
    assert min(reads) == (0, 1) and min(commits) == (1, 1), (reads, commits)
