"""A room with many forward extremities in which no user of ours may tie them together: what comes stays cheap."""

from collections.abc import Collection, Iterator
from typing import Any

import pytest
import pytest_twisted

from homeserver.services.rooms.heads import MAX_PREV_EVENTS
from homeserver.services.rooms.remote import placing
from homeserver.services.rooms.remote.resolution import Resolution
from matrix.events import Json
from matrix.ids import EventId, RoomId
from storage.events import Flags
from tests.integration.federation.listening import network_of
from tests.integration.federation.visiting import Visitor
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Client, Homeserver, q

# MANY: more than an event may name.
FEW, MOST, MANY = 3, 8, 13


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """Who alone may speak in a room where a user of one.test listens."""
    monkeypatch.setattr(placing, "MAX_RESOLVED", FEW)
    monkeypatch.setattr(placing, "MAX_EXTREMITIES", MOST)
    room = RoomId(await alice.create_room(preset="public_chat"))
    writer = await Writer(two, host, room).join()
    levels = await alice.get(f"/rooms/{q(room)}/state/m.room.power_levels")
    levels |= {"users": {writer.user_id: 100}, "events_default": 60}
    await alice.ok("PUT", f"/rooms/{q(room)}/state/m.room.power_levels/", levels)
    listener = await host.register(f"listener{room[1:6]}".lower().replace("-", "x").replace("_", "y"))
    await listener.ok("POST", f"/join/{q(room)}", {})
    await alice.ok("POST", f"/rooms/{q(room)}/leave", {})
    yield writer
    assert faults(host.dsn) == []


async def fork(writer: Writer, number: int, prev: list[str]) -> str:
    return await writer.say(type="org.example", state_key=str(number), content={"number": number}, prev=prev)


async def test_of_many_ends_not_all_are_resolved_for_each_event(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[int] = []
    whole = Resolution.resolve

    async def counted(self: Resolution, version: Any, base: Any, states: Any, new: Any = None) -> dict[Any, int]:
        resolved.append(len(states))
        return await whole(self, version, base, states, new)

    base = sorted(await writer.extremities())
    monkeypatch.setattr(Resolution, "resolve", counted)
    for number in range(MOST):
        await fork(writer, number, base)
    assert len(await writer.extremities()) == MOST
    assert sum(resolved) <= MOST * (FEW + 3)
    # Nothing of what any of them says is lost, neither while they are many nor when somebody ties them together.
    for number in range(MOST):
        assert await writer.state("org.example", str(number)) == {"number": number}
    await writer.say("together", prev=sorted(await writer.extremities()))
    for number in range(MOST):
        assert await writer.state("org.example", str(number)) == {"number": number}


async def test_what_is_one_end_too_many_is_kept_and_not_shown(writer: Writer) -> None:
    base = sorted(await writer.extremities())
    ends = [await fork(writer, number, base) for number in range(MOST)]
    too_many = await fork(writer, MOST, base)
    assert writer.row(too_many)[1] == Flags.SOFT_FAILED
    assert await writer.extremities() == set(ends)
    assert await writer.state("org.example", str(MOST)) is None
    # Who goes on from one of them is heard; and once somebody follows it, it counts.
    last = await writer.say("go on", prev=[ends[0]])
    assert last in await writer.extremities()
    await writer.say("together", prev=[*ends[1:], too_many])
    assert await writer.state("org.example", str(MOST)) == {"number": MOST}


async def test_a_fork_of_before_takes_back_nothing_while_ends_are_many(writer: Writer) -> None:
    def topic(text: str) -> Json:
        return {"type": "m.room.topic", "state_key": "", "content": {"topic": text}}

    base = sorted(await writer.extremities())
    old = await writer.say(**topic("old"), prev=base)
    new = await writer.say(**topic("new"), prev=[old])
    for number in range(MOST - 1):
        await fork(writer, number, [old])
    assert new in await writer.extremities()
    assert await writer.state("m.room.topic") == {"topic": "new"}


async def test_whatever_many_ends_say_is_the_rooms_state_some_events_later(writer: Writer) -> None:
    """A clock that goes back: by what was there and the new event alone, the older text would stay for ever."""
    base = sorted(await writer.extremities())
    ends = [await fork(writer, number, base) for number in range(MOST)]
    old = await writer.say(type="m.room.topic", state_key="", content={"topic": "old"}, prev=[ends[0]])
    writer.clock -= 1_000_000
    await writer.say(type="m.room.topic", state_key="", content={"topic": "new"}, prev=[old])
    for end in ends[1 : 2 + 2 * MOST // FEW]:
        await writer.say(prev=[end])
    assert len(await writer.extremities()) == MOST
    assert await writer.state("m.room.topic") == {"topic": "new"}
    head = await writer.head()
    assert head.state == await writer.host.server.rooms.remote.states.after_events(
        writer.room, [event_id for _, event_id, _ in head.extremities]
    )


async def test_who_joins_through_us_is_told_what_the_ends_make_that_the_join_follows(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "MAX_EXTREMITIES", MANY)
    base = sorted(await writer.extremities())
    for number in range(MANY):
        await fork(writer, number, base)
    visitor = Visitor(FakeServer(network_of(writer.host), "three.test"), "one.test", writer.room)
    template = await visitor.template("join")
    assert len(template["prev_events"]) == MAX_PREV_EVENTS
    right = await ids_after(writer, template["prev_events"])
    join = visitor.signed(template)
    answer = await visitor.send("join", join)
    assert {event_id_of(pdu, visitor.version) for pdu in answer.json["state"]} == right
    told = await visitor.ok(f"/state_ids/{q(writer.room)}", event_id=event_id_of(join, visitor.version))
    assert set(told["pdu_ids"]) == right
    # All that the room is now is more than that.
    assert right < await ids_after(writer, await writer.extremities())


async def test_what_our_users_do_at_many_ends_has_the_state_that_other_servers_find(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "MAX_EXTREMITIES", MANY)
    base = sorted(await writer.extremities())
    ends = {await fork(writer, number, base) for number in range(MANY)}
    comes = await writer.host.register(f"comes{writer.clock}")
    await comes.ok("POST", f"/join/{q(writer.room)}", {})
    states = writer.host.server.rooms.remote.states
    [join] = await writer.extremities() - ends
    stored = await writer.host.core.storage.events.find(EventId(join))
    assert stored is not None and len(stored.event.prev_events) == MAX_PREV_EVENTS
    assert await states.of_event(stored) == await states.after_events(writer.room, stored.event.prev_events)
    assert (await writer.state("m.room.member", comes.user_id))["membership"] == "join"


async def ids_after(writer: Writer, event_ids: Collection[str]) -> set[str]:
    """What these events together make of the room's state."""
    state = await writer.host.server.rooms.remote.states.after_events(writer.room, [EventId(one) for one in event_ids])
    return {stored.event_id for stored in (await writer.host.core.storage.events.get(state.values())).values()}
