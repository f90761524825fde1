"""What hostile servers send into rooms: each is refused by what the specification says, and costs little."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.errors import RemoteError
from matrix.errors import BadEvent
from matrix.ids import RoomId
from storage.events import Flags
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

V1 = "/_matrix/federation/v1"
REJECTED = int(Flags.REJECTED)


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    room = RoomId(await alice.create_room())
    two.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    for path in ("state_ids", "event", "event_auth"):
        two.answers("GET", f"{V1}/{path}/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    yield await Writer(two, host, room).join()
    assert faults(host.dsn) == []


@pytest.mark.parametrize("depth", [-1, 2**53, 2**63, 1.5, "8", None, True])
async def test_a_depth_that_is_no_depth_is_refused(writer: Writer, depth: object) -> None:
    pdu = await writer.pdu()
    pdu["depth"] = depth
    with pytest.raises(BadEvent):
        await writer.receiver.receive(writer.server.name, writer.room, pdu)


async def test_the_largest_depth_leaves_the_room_usable(writer: Writer, alice: Client) -> None:
    await writer.say(depth=2**53 - 1)
    await alice.send(writer.room, "still here")
    page = await alice.get(f"/rooms/{writer.room}/messages", dir="b", limit=5)
    assert "still here" in str(page)


async def test_more_prev_events_than_a_pdu_may_name_are_refused(writer: Writer) -> None:
    with pytest.raises(BadEvent):
        await writer.say(prev=[f"${number:043}" for number in range(21)])


async def test_more_auth_events_than_a_pdu_may_name_are_refused(writer: Writer) -> None:
    with pytest.raises(BadEvent):
        await writer.say(auth=[f"${number:043}" for number in range(11)])


async def test_an_event_that_names_itself_before_it_ends(two: FakeServer, host: Homeserver, alice: Client) -> None:
    """In room versions 1 and 2 event ids are chosen, and rings can be made of them."""
    two.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    writer = await Writer(two, host, RoomId(await alice.create_room(room_version="2"))).join()
    one = await writer.pdu("one", event_id="$one:two.test", prev=["$other:two.test"])
    other = await writer.pdu("other", event_id="$other:two.test", prev=["$one:two.test"])
    two.answers("POST", f"{V1}/get_missing_events/", {"events": [one, other]})
    with pytest.raises(RemoteError):
        await writer.send(one)
    with pytest.raises(RemoteError):
        await writer.say(event_id="$self:two.test", prev=["$self:two.test"])
    await alice.send(writer.room, "still here")


async def test_a_ring_of_auth_events_is_not_taken(two: FakeServer, host: Homeserver, alice: Client) -> None:
    writer = await Writer(two, host, RoomId(await alice.create_room(room_version="2"))).join()
    fields = {"type": "m.room.power_levels", "state_key": "", "content": {}}
    one = await writer.pdu(event_id="$levels1:two.test", auth=["$levels2:two.test"], **fields)
    other = await writer.pdu(event_id="$levels2:two.test", auth=["$levels1:two.test"], **fields)
    two.answers("GET", f"{V1}/event_auth/", {"auth_chain": [one, other]})
    with pytest.raises(RemoteError):
        await writer.send(one)


async def test_what_follows_an_event_of_another_room_is_rejected(
    writer: Writer, alice: Client, two: FakeServer
) -> None:
    other = await Writer(two, writer.host, RoomId(await alice.create_room(preset="public_chat"))).join()
    elsewhere = await other.say("in another room")
    before = await writer.extremities()
    rejected_id = await writer.say("across", prev=[elsewhere, *sorted(before)])
    assert writer.row(rejected_id) == (None, REJECTED)
    assert await writer.extremities() == before
    # Who follows it nevertheless is heard.
    last = await writer.say("after it", prev=[rejected_id, *sorted(before)])
    assert await writer.extremities() == {last}
    # Whoever asks for what was before it is told nothing of the other room.
    told = await two.ask("one.test", "GET", f"/_matrix/federation/v1/backfill/{q(writer.room)}?v={q(last)}&limit=100")
    assert {pdu["room_id"] for pdu in told.json["pdus"] if "room_id" in pdu} == {writer.room}
    assert "in another room" not in str(told.json)


async def test_a_second_create_event_is_rejected(writer: Writer) -> None:
    version = await writer.version()
    create = await writer.pdu(type="m.room.create", state_key="", content={"room_version": version.id}, auth=[])
    with pytest.raises(BadEvent):
        await writer.receiver.receive(writer.server.name, writer.room, create)


async def test_an_event_that_follows_nothing_is_rejected(writer: Writer) -> None:
    assert writer.row(await writer.say(prev=[])) == (None, REJECTED)


async def test_an_event_in_anothers_name_is_dropped(writer: Writer, alice: Client) -> None:
    with pytest.raises(BadEvent):
        await writer.say(sender=alice.user_id)


async def test_state_told_of_another_room_does_not_count(writer: Writer, alice: Client, two: FakeServer) -> None:
    other = await Writer(two, writer.host, RoomId(await alice.create_room())).join()
    foreign = await writer.host.core.storage.events.get((await other.head()).state.values())
    ids = [stored.event_id for stored in foreign.values()]
    two.answers("GET", f"{V1}/state_ids/", {"pdu_ids": ids, "auth_chain_ids": ids})
    missing = await writer.pdu("missing")
    two.answers("GET", f"{V1}/event/", {"pdus": [missing]})
    before_last = await writer.pdu("before last", prev=[missing])
    two.answers("POST", f"{V1}/get_missing_events/", {"events": [before_last]})
    last = await writer.pdu("last", prev=[before_last])
    await writer.send(last)
    assert writer.row(await writer.id_of(before_last)) == (None, REJECTED)
    assert writer.row(await writer.id_of(last)) == (None, REJECTED)


async def test_two_processes_that_receive_the_same_at_once_keep_it_once(
    network: Network, start_homeserver: Callable[[], Awaitable[Homeserver]], dsn: str
) -> None:
    writer, mirror = await _both_told(network, await start_homeserver(), await start_homeserver())
    first, second = writer.host, mirror.host
    base = sorted(await writer.extremities())
    forks = [await writer.pdu(f"{number}", prev=base) for number in range(6)]
    sends = [Deferred.fromCoroutine(one.send(pdu)) for pdu in forks for one in (writer, mirror)]
    await gatherResults(sends)
    await first.has_heard(second)
    await second.has_heard(first)
    assert await writer.extremities() == await mirror.extremities() == {await writer.id_of(pdu) for pdu in forks}
    assert faults(dsn) == []


async def test_an_event_that_another_process_places_meanwhile_is_not_what_ours_follows(
    network: Network, start_homeserver: Callable[[], Awaitable[Homeserver]], dsn: str
) -> None:
    writer, mirror = await _both_told(network, await start_homeserver(), await start_homeserver())
    first, second = writer.host, mirror.host
    base = sorted(await writer.extremities())
    ours, others = await mirror.pdu("ours", prev=base), await writer.pdu("others", prev=base)
    nids = second.server.rooms.intake.event_nids
    take = nids.take

    async def late(count: int, *, above: int = 0) -> list[int]:
        await writer.send(others)
        await second.has_heard(first)
        return await take(count, above=above)

    nids.take = late  # type: ignore[method-assign]
    await mirror.send(ours)
    await first.has_heard(second)
    assert await writer.extremities() == await mirror.extremities()
    assert faults(dsn) == []


async def _both_told(network: Network, first: Homeserver, second: Homeserver) -> tuple[Writer, Writer]:
    """One server's writer at either of two processes, in a room that both know."""
    alice = await first.register("alice")
    room = RoomId(await alice.create_room())
    two = FakeServer(network, "two.test")
    writer = await _speaking(first, room, two)
    mirror = await _speaking(second, room, two, joined=True)
    await second.has_heard(first)
    return writer, mirror


async def _speaking(process: Homeserver, room: RoomId, two: FakeServer, *, joined: bool = False) -> Writer:
    """A writer whose key the process knows without a network."""
    writer = Writer(two, process, room)
    checks = process.server.rooms.remote.checks

    class Trusting:
        async def check_events(self, pdus: list[object], version: object, *signed: object) -> list[None]:
            return [None] * len(pdus)

    checks._signatures = Trusting()  # type: ignore[assignment]
    return writer if joined else await writer.join()
