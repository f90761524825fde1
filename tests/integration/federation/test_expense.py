"""What servers may make us fetch in all: by server and by room, and never at the price of others."""

from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.errors import RemoteError
from homeserver.services.rooms.remote.expense import EVENTS_AT_ONCE, SERVERS_OF_A_ROOM, STATES_AT_ONCE, Expense
from matrix.events import Json
from matrix.ids import EventId, RoomId, ServerName
from tests.integration.federation.listening import until
from tests.integration.federation.writer import Writer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver

V1 = "/_matrix/federation/v1"
TWO = ServerName("two.test")


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    room = RoomId(await alice.create_room())
    writer = await Writer(two, host, room).join()
    expense = expense_of(writer)
    before = expense.add
    yield writer
    # The homeserver is one for all tests here.
    expense.add = before  # type: ignore[method-assign]
    expense._by_server.forget(TWO)


def expense_of(writer: Writer) -> Expense:
    return writer.host.server.rooms.remote.gathering.expense


async def with_gap(writer: Writer) -> Json:
    """An event after one that we are only told when we ask."""
    before = await writer.pdu("before")
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [before]})
    return await writer.pdu("after", prev=[before])


async def test_for_a_server_that_has_made_us_fetch_too_much_no_more_is_fetched_for_a_while(
    writer: Writer, shared_network: Network, alice: Client
) -> None:
    head, pdu = await writer.head(), await with_gap(writer)
    expense_of(writer).add(TWO, head.room_nid, events=EVENTS_AT_ONCE + 10_000)
    with pytest.raises(RemoteError):
        await writer.send(pdu)
    assert not shared_network.sent("/get_missing_events/")
    # Neither is another server held up by it, nor what needs nothing.
    third = await Writer(FakeServer(shared_network, "three.test"), writer.host, writer.room, "third").join()
    await third.send(await with_gap(third))
    await writer.say("at once")
    assert (await alice.texts(writer.room))[-3:] == ["before", "after", "at once"]


async def test_for_a_room_that_has_cost_too_much_no_more_is_fetched_for_a_while(writer: Writer, alice: Client) -> None:
    head, expense = await writer.head(), expense_of(writer)
    for number in range(SERVERS_OF_A_ROOM + 1):
        expense.add(ServerName(f"s{number}.test"), head.room_nid, events=EVENTS_AT_ONCE)
    with pytest.raises(RemoteError):
        await writer.send(await with_gap(writer))
    other = await Writer(writer.server, writer.host, RoomId(await alice.create_room()), "other").join()
    await other.send(await with_gap(other))
    assert await alice.texts(other.room) == ["before", "after"]


async def test_all_that_is_told_counts(writer: Writer) -> None:
    added: list[int] = []
    expense = expense_of(writer)
    expense.add = lambda server, room_nid, *, events=0, ids=0: added.append(events + ids)  # type: ignore[method-assign]
    await writer.send(await with_gap(writer))
    assert added == [1]


async def test_only_so_many_whole_states_of_a_server_are_taken_in_at_once(writer: Writer, alice: Client) -> None:
    """Each may be of 200 MB, and every room of a transaction may need one."""
    go_on: Deferred[None] = Deferred()
    under_way: list[int] = [0, 0]
    rooms = [
        await Writer(writer.server, writer.host, RoomId(await alice.create_room()), f"w{number}").join()
        for number in range(STATES_AT_ONCE + 2)
    ]

    async def state(sent: Sent) -> Json:
        under_way[0] += 1
        under_way[1] = max(under_way)
        waiting: Deferred[None] = Deferred()
        go_on.addCallback(lambda _: waiting.callback(None))
        await waiting
        under_way[0] -= 1
        return {"pdus": [], "auth_chain": []}

    writer.server.answers("GET", f"{V1}/state/", state)
    gathering = writer.host.server.rooms.remote.gathering
    asking = []
    for one in rooms:
        head = await one.head()
        budget = gathering.budget(TWO, head.room_nid, one.room, head.version)
        asking.append(Deferred.fromCoroutine(gathering._take_in_state(EventId("$any"), budget)))
    await until(lambda: under_way[0] >= STATES_AT_ONCE)
    assert under_way == [STATES_AT_ONCE, STATES_AT_ONCE]
    go_on.callback(None)
    await gatherResults(asking)
    assert under_way == [0, STATES_AT_ONCE]
