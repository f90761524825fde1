"""What a message between two servers costs PostgreSQL: statements counted, so that they stay as few."""

from collections.abc import AsyncIterator

import pytest_twisted

from matrix.ids import RoomId
from tests.integration.federation.listening import told_all, until
from tests.support.federation import Network
from tests.support.homeserver import Client, q
from tests.support.statements import Statements, statements

__all__ = ["statements"]

MESSAGES = 8


class Pair:
    """alice at one.test and bob at two.test, in a room."""

    def __init__(self, network: Network, alice: Client, bob: Client, room: str) -> None:
        self.network = network
        self.one, self.two = network.homeservers["one.test"], network.homeservers["two.test"]
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
    found = Pair(network, alice, bob, room)
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
    assert min(reads) == (0, 0) and min(commits) == (1, 1), (reads, commits)


async def join_room_with(pair: Pair, statements: Statements, count: int) -> int:
    """bob comes into a room of so many new users; gives the statements about devices that follow at both servers."""
    room = await pair.alice.create_room(preset="public_chat")
    for number in range(count):
        await (await pair.one.register(f"user{number}of{count}")).join(room)
    await told_all(pair.one)
    statements.clear()
    await pair.bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    rooms = pair.two.server.rooms
    nid = (await rooms.heads.room(RoomId(room))).room_nid
    await until(lambda: not rooms.partial.is_partial(nid) and pair.network.sent("/send/", origin="one.test"))
    await told_all(pair.one)
    await told_all(pair.two)
    sent = statements.of(pair.one) + statements.of(pair.two)
    return sum("device" in text or "JOIN users" in text for _, text in sent)


async def test_what_a_join_tells_of_devices_costs_no_more_statements_where_there_are_more_members(
    pair: Pair, statements: Statements
) -> None:
    first = await join_room_with(pair, statements, 2)
    assert await join_room_with(pair, statements, 20) < first + 15
    assert len(pair.network.sent("/send/", origin="one.test")[-1].json["edus"]) == 20, "they were told"
