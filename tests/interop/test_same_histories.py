"""The same random histories told to Hearth and to a Synapse, in different orders and with gaps: both must come to the
same state.

A third server, written by the test, owns the rooms; nobody whom they have in common decides what is right. A few
histories in every run; HEARTH_SAME_HISTORIES=200 plays so many in each room version, HEARTH_SAME_HISTORIES_SEED begins
elsewhere.
"""

import os
import random
import time
from collections.abc import Iterator

import pytest

from matrix.events import Event
from matrix.ids import EventId
from matrix.room_versions import ROOM_VERSIONS
from tests.interop.beside_synapse import both, needs_synapse
from tests.interop.people import Person, Refused, q
from tests.interop.scripted_server import ScriptedServer
from tests.simulation.orders import in_some_order
from tests.support.scripted_room import ScriptedRoom
from tests.support.scripted_rooms import V1

pytestmark = needs_synapse
VERSIONS = ["1", "2", "6", "10", "11", "12"]
COUNT = int(os.environ.get("HEARTH_SAME_HISTORIES", "1"))
SEED = int(os.environ.get("HEARTH_SAME_HISTORIES_SEED", "0"))
# Of each history: events, all together and told in one go.
PARTS, PART = 3, 14
PATIENCE_S = 60


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[tuple[ScriptedServer, Person, Person]]:
    """The server of the rooms, and somebody at Hearth and at Synapse."""
    with both(request) as (authority, hearth, synapse):
        scripted = ScriptedServer(authority)
        try:
            yield scripted, Person(hearth, "here"), Person(synapse, "there")
        finally:
            scripted.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_both_come_to_the_same_state(world: tuple[ScriptedServer, Person, Person], version: str) -> None:
    for number in range(COUNT):
        play(*world, version, random.Random(f"{SEED + number} {version}"), f"seed {SEED + number}")


@pytest.mark.parametrize("who", ["hearth by synapse", "synapse by hearth"])
def test_a_large_room_is_joined_by_way_of_the_other(world: tuple[ScriptedServer, Person, Person], who: str) -> None:
    """Most members are left out of the answer, and fetched while one talks: MSC3706, MSC3902."""
    scripted, here, there = world
    resident, comer = (there, here) if who == "hearth by synapse" else (here, there)
    room = large_room(scripted)
    resident.ask("POST", f"/join/{q(room)}", {}, server_name=scripted.name, via=scripted.name)
    comer.join(room, via=resident)
    comer.send(room, "who is here?")
    resident.hears(room, "who is here?")
    resident.send(room, "many are")
    comer.hears(room, "many are")
    comer.until("the same state", lambda: comer.state(room) == resident.state(room))
    assert len(comer.members(room)) == MEMBERS + 2
    comer.until("the end of the fetching", lambda: f"{COMPLETED[who]}{room}" in comer.homeserver.log.read_text())


# How each server's log says that a state was not whole and now is.
COMPLETED = {"hearth by synapse": "The state of ", "synapse by hearth": "Clearing partial-state flag for "}
MEMBERS = 300


def large_room(scripted: ScriptedServer) -> str:
    """Of so many members, all of the scripted server."""
    with scripted.rooms.lock:
        room = scripted.rooms.new_room(ROOM_VERSIONS["11"])
        for number in range(MEMBERS - len(room.users)):
            user = f"@member{number}:{scripted.name}"
            assert room.say("m.room.member", user, {"membership": "join"}, user) is not None
    return str(room.room_id)


def play(scripted: ScriptedServer, here: Person, there: Person, version: str, chance: random.Random, name: str) -> None:
    room = scripted.rooms.new_room(ROOM_VERSIONS[version])
    people = [here, there]
    for person in people:
        # Who came by an invite is not resolved away when the room is closed beside it, as who came by the rule may be.
        before = set(room.events)
        room.say("m.room.member", room.users[0], {"membership": "invite"}, person.user_id)
        person.ask("POST", f"/join/{q(room.room_id)}", {}, server_name=scripted.name, via=scripted.name)
        for other in people:
            if other is not person:
                scripted.tell(
                    other.homeserver.server_name, [room.events[each] for each in room.events if each not in before]
                )
    # Before their joins the graph is for each of them what the other servers tell; a fork there may stay open.
    room.settle()
    for part in range(PARTS):
        with scripted.rooms.lock:
            new = [event for _ in range(PART) if (event := room.random_event(chance)) is not None]
            last = room.say("m.room.message", room.users[0], {"body": f"part {part}", "msgtype": "m.text"}, None)
        assert last is not None, "the creator may always speak"
        for person in people:
            for some in in_some_order(new, chance):
                scripted.tell(person.homeserver.server_name, some)
            scripted.tell(person.homeserver.server_name, [last])
        states = [state_after(person, room, last) for person in people]
        right = {key: str(event_id) for key, event_id in room.after(last.event_id).items()}
        for person, state in zip(people, states, strict=True):
            if state != right:
                raise AssertionError(f"{name}, part {part}: {first_difference(scripted, person, room)}")


def first_difference(scripted: ScriptedServer, person: Person, room: ScriptedRoom) -> str:
    """Of the room's events the first before which the person's server has another state than it should."""
    server_name = person.homeserver.server_name
    for event_id, state in room.before.items():
        target = f"{V1}/state_ids/{q(room.room_id)}?event_id={q(event_id)}"
        status, said = scripted.ask(server_name, "GET", target)
        has = set(said.get("pdu_ids", ()))
        if status != 200 or has != set(state.values()):
            more = [str(room.events.get(EventId(one), one)) for one in has - set(state.values())]
            less = [str(room.events[one]) for one in set(state.values()) - has]
            event = room.events[event_id]
            return f"before {event} with {event.prev_events} {server_name} has {more} in place of {less}: {status}"
    now, right = set(person.state(room.room_id).values()), set(map(str, room.after(room.tips[0]).values()))
    more, less = ([str(room.events.get(EventId(one), one)) for one in ids] for ids in (now - right, right - now))
    return f"{server_name} has right states before all events, but after the last {more} in place of {less}"


def state_after(person: Person, room: ScriptedRoom, last: Event) -> dict[tuple[str, str], str]:
    """The room's state at the person's server, when the event has come there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            person.ask("GET", f"/rooms/{q(room.room_id)}/event/{q(last.event_id)}")
            return person.state(room.room_id)
        except Refused:
            assert time.monotonic() < deadline, f"{last} has never come to {person.homeserver.server_name}"
            # A process that is not ours to await: it can only be asked again.
            time.sleep(0.05)
