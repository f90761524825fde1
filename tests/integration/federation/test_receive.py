"""Events of other servers: on the line, forked, doubled, refused."""

from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from matrix.errors import BadEvent, Forbidden, NotFound
from matrix.ids import RoomId
from storage.events import Flags
from tests.integration.federation.listening import until
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

REJECTED, SOFT_FAILED = int(Flags.REJECTED), int(Flags.SOFT_FAILED)


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    """Of two.test, in a public room of alice at one.test."""
    room = RoomId(await alice.create_room())
    await alice.sync()
    yield await Writer(two, host, room).join()
    assert faults(host.dsn) == []


async def test_a_message_of_another_server_is_told(writer: Writer, alice: Client) -> None:
    await writer.say("from afar")
    assert "from afar" in await alice.texts(writer.room)


async def test_ours_follows_theirs(writer: Writer, alice: Client) -> None:
    theirs = await writer.say()
    ours = await alice.send(writer.room)
    stored = await writer.host.core.storage.events.find(ours)
    assert stored.event.prev_events == (theirs,)


@pytest.mark.parametrize("version", ["1", "2", "3", "6", "10", "11", "12"])
async def test_every_room_version_is_taken(two: FakeServer, host: Homeserver, alice: Client, version: str) -> None:
    room = RoomId(await alice.create_room(room_version=version))
    await alice.sync()
    writer = await Writer(two, host, room).join()
    before = sorted(await writer.extremities())
    await writer.say("on the line")
    await writer.say("forked", prev=before)
    assert await alice.texts(room) == ["on the line", "forked"]
    assert len(await writer.extremities()) == 2
    ours = await alice.send(room)
    assert await writer.extremities() == {ours}


async def test_an_event_that_is_here_is_no_work(writer: Writer, alice: Client) -> None:
    pdu = await writer.pdu()
    await writer.send(pdu)
    position = writer.host.core.storage.stream.position
    await writer.send(pdu)
    assert writer.host.core.storage.stream.position == position


async def test_an_event_that_comes_twice_at_once_is_there_once(writer: Writer, alice: Client) -> None:
    pdu = await writer.pdu("once")
    await gatherResults([Deferred.fromCoroutine(writer.send(pdu)) for _ in range(5)])
    assert await alice.texts(writer.room) == ["once"]


async def test_a_fork_makes_two_extremities_and_the_next_event_joins_them(writer: Writer, alice: Client) -> None:
    base = sorted(await writer.extremities())
    left = await writer.say("left", prev=base)
    right = await writer.say("right", prev=base)
    assert await writer.extremities() == {left, right}
    joined = await alice.send(writer.room, "both")
    stored = await writer.host.core.storage.events.find(joined)
    assert set(stored.event.prev_events) == {left, right}
    assert await writer.extremities() == {joined}


async def test_forked_state_is_resolved(writer: Writer, alice: Client) -> None:
    levels = {"users": {alice.user_id: 100, writer.user_id: 50}, "state_default": 50}
    await alice.set_state(writer.room, "m.room.power_levels", _without_creators(levels, alice))
    base = sorted(await writer.extremities())
    await alice.set_state(writer.room, "m.room.topic", {"topic": "ours"})
    await writer.say(type="m.room.topic", state_key="", content={"topic": "theirs"}, prev=base)
    # The later by origin_server_ts wins, on the same power levels: the writer's clock is behind.
    assert await writer.state("m.room.topic") == {"topic": "ours"}
    writer.clock = writer.host.core.clock.now_ms() + 60_000
    await writer.say(type="m.room.topic", state_key="", content={"topic": "later"}, prev=base)
    assert await writer.state("m.room.topic") == {"topic": "later"}
    await alice.send(writer.room)
    assert await writer.state("m.room.topic") == {"topic": "later"}


def _without_creators(levels: dict, alice: Client) -> dict:
    return {**levels, "users": {user: level for user, level in levels["users"].items() if user != alice.user_id}}


async def test_who_has_not_the_power_is_rejected(writer: Writer, alice: Client) -> None:
    event_id = await writer.say(type="m.room.topic", state_key="", content={"topic": "mine"})
    assert writer.row(event_id) == (None, REJECTED)
    assert event_id not in await writer.extremities()
    assert await writer.state("m.room.topic") is None
    assert await alice.timeline(writer.room) == [] or event_id not in str(await alice.timeline(writer.room))
    response = await alice.ask("GET", f"/rooms/{writer.room}/event/{event_id}")
    assert response.status == 404


async def test_what_follows_a_rejected_event_may_be_good(writer: Writer, alice: Client) -> None:
    rejected = await writer.pdu(type="m.room.topic", state_key="", content={"topic": "mine"})
    await writer.send(rejected)
    await writer.say("good", prev=[rejected])
    assert "good" in await alice.texts(writer.room)
    assert await writer.state("m.room.topic") is None
    assert len(await writer.extremities()) == 1


async def test_who_evades_a_ban_is_soft_failed(writer: Writer, alice: Client) -> None:
    before_ban = sorted(await writer.extremities())
    head = await writer.head()
    member = head.state[("m.room.member", writer.user_id)]
    evading = await writer.pdu("you cannot stop me", prev=before_ban)
    await alice.ok("POST", f"/rooms/{writer.room}/ban", {"user_id": writer.user_id})
    event_id = await writer.send(evading)
    assert writer.row(event_id) == (None, SOFT_FAILED)
    assert event_id not in await writer.extremities()
    assert "you cannot stop me" not in await alice.texts(writer.room)
    assert (await writer.head()).state[("m.room.member", writer.user_id)] != member


async def test_what_is_soft_failed_is_told_to_servers_and_what_is_rejected_is_not(
    writer: Writer, alice: Client
) -> None:
    await Writer(writer.server, writer.host, writer.room, "other").join()
    evading = await writer.pdu("you cannot stop me")
    await alice.ok("POST", f"/rooms/{writer.room}/ban", {"user_id": writer.user_id})
    soft_failed, rejected = await writer.send(evading), await writer.say("after", auth=evading["auth_events"])
    for event_id, status in ((soft_failed, 200), (rejected, 404)):
        path = f"/_matrix/federation/v1/event/{q(event_id)}"
        assert (await writer.server.ask("one.test", "GET", path)).status == status
    path = f"/_matrix/federation/v1/backfill/{q(writer.room)}?limit=5&v={q(soft_failed)}"
    pdus = (await writer.server.ask("one.test", "GET", path)).json["pdus"]
    assert pdus[0]["content"]["body"] == "you cannot stop me"


async def test_clients_are_told_of_a_soft_failed_event_when_it_becomes_state(writer: Writer, alice: Client) -> None:
    other = await Writer(writer.server, writer.host, writer.room, "other").join()
    levels = await writer.state("m.room.power_levels")
    free = {**levels, "events": {**levels["events"], "m.room.topic": 0}}
    await alice.set_state(writer.room, "m.room.power_levels", free)
    topic = await writer.pdu(type="m.room.topic", state_key="", content={"topic": "soft"})
    await alice.set_state(writer.room, "m.room.power_levels", levels)
    topic_id = await writer.send(topic)
    assert writer.row(topic_id) == (None, SOFT_FAILED)
    await alice.set_state(writer.room, "m.room.power_levels", free)
    await alice.sync()
    tip = sorted(await writer.extremities())
    await other.say("seen both", prev=[*tip, topic])
    assert (await writer.state("m.room.topic"))["topic"] == "soft"
    part = (await alice.sync())["rooms"]["join"][writer.room]
    assert topic_id in [event["event_id"] for event in part["state"]["events"]]


async def test_who_was_banned_is_rejected_after_the_ban(writer: Writer, alice: Client) -> None:
    late = await writer.pdu("late")
    await alice.ok("POST", f"/rooms/{writer.room}/ban", {"user_id": writer.user_id})
    event_id = await writer.say("after the ban", auth=late["auth_events"])
    assert writer.row(event_id) == (None, REJECTED)


async def test_what_follows_a_soft_failed_event_is_judged_by_both_branches(writer: Writer, alice: Client) -> None:
    before_ban = sorted(await writer.extremities())
    evading = await writer.pdu("evading", prev=before_ban)
    await alice.ok("POST", f"/rooms/{writer.room}/ban", {"user_id": writer.user_id})
    await writer.send(evading)
    other = Writer(writer.server, writer.host, writer.room, "other")
    await other.join()
    tip = sorted(await writer.extremities())
    joined = await other.say("seen both", prev=[*tip, evading])
    assert await writer.extremities() == {joined}
    assert "seen both" in await alice.texts(writer.room)
    assert (await writer.state("m.room.member", writer.user_id))["membership"] == "ban"


async def test_an_event_of_another_room_in_the_wrong_one_is_refused(writer: Writer, alice: Client) -> None:
    other = RoomId(await alice.create_room())
    pdu = await writer.pdu()
    with pytest.raises(BadEvent):
        await writer.receiver.receive(writer.server.name, other, pdu)


async def test_a_room_that_is_not_known_is_not_found(writer: Writer) -> None:
    with pytest.raises(NotFound):
        await writer.receiver.receive(writer.server.name, RoomId("!nowhere:two.test"), await writer.pdu())


async def test_auth_events_of_another_room_do_not_count(writer: Writer, alice: Client) -> None:
    other = await Writer(writer.server, writer.host, RoomId(await alice.create_room())).join()
    foreign = (await other.pdu())["auth_events"]
    event_id = await writer.say(auth=foreign)
    assert writer.row(event_id) == (None, REJECTED)


async def test_what_rests_on_a_rejected_auth_event_is_rejected(writer: Writer, alice: Client) -> None:
    levels = await writer.pdu(type="m.room.power_levels", state_key="", content={"users": {writer.user_id: 100}})
    await writer.send(levels)
    pdu = await writer.pdu(state={("m.room.power_levels", ""): levels})
    assert writer.row(await writer.send(pdu)) == (None, REJECTED)


async def test_accept_refuses_what_the_room_does_not_allow_now(writer: Writer, alice: Client) -> None:
    other = Writer(writer.server, writer.host, writer.room, "other")
    join = await other.pdu(
        type="m.room.member", state_key=other.user_id, sender=other.user_id, content={"membership": "join"}
    )
    await alice.set_state(writer.room, "m.room.join_rules", {"join_rule": "invite"})
    with pytest.raises(Forbidden):
        await writer.accept(join)
    assert writer.host.rows("SELECT 1 FROM events WHERE event_id = %s", await writer.id_of(join)) == []


async def test_a_signature_that_is_not_right_is_dropped(writer: Writer) -> None:
    pdu = await writer.pdu()
    pdu["signatures"][writer.server.name] = {writer.server.key.key_id: "A" * 86}
    with pytest.raises(BadEvent):
        await writer.send(pdu)


async def test_content_that_is_not_what_was_hashed_is_redacted(writer: Writer, alice: Client) -> None:
    pdu = await writer.pdu("true words")
    pdu["content"] = {"body": "other words"}
    event_id = await writer.send(pdu)
    [event] = [one for one in await alice.timeline(writer.room) if one["event_id"] == event_id]
    assert event["content"] == {}


async def test_many_loose_ends_are_tied_together(writer: Writer, alice: Client) -> None:
    base = sorted(await writer.extremities())
    for number in range(14):
        await writer.say(f"end {number}", prev=base)
    await alice.send(writer.room, "after all")
    assert len(await writer.extremities()) <= 10
    told = await alice.timeline(writer.room)
    assert "org.matrix.dummy_event" not in str(told)
    assert [event["content"]["body"] for event in told][-1] == "after all"
    stored = await writer.host.core.storage.events.find(sorted(await writer.extremities())[0])
    assert stored is not None and len(stored.event.prev_events) <= 10


async def test_the_operator_says_how_many_loose_ends_may_stay(shared_network: Network, two: FakeServer) -> None:
    host = await shared_network.start("few.test", "dummy_events_threshold: 3\n")
    alice = await host.register("alice")
    room = RoomId(await alice.create_room())
    await alice.sync()
    writer = await Writer(two, host, room).join()
    base = sorted(await writer.extremities())
    for number in range(5):
        await writer.say(f"end {number}", prev=base)
    await until(lambda: "rooms.loose_ends" not in host.core.tasks.running())
    assert len(await writer.extremities()) <= 3
