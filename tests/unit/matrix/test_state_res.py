"""State resolution, by fixtures/state_res/*.json and by random rooms.

A fixture names its events by short ids, has the states to resolve, and the ids of the resolved state. One room serves
for all versions: in version 12 the create event is no auth event, and the creator is not among the users with levels.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.conflicts import conflicts
from matrix.dag import auth_chain, auth_difference, conflicted_subgraph
from matrix.events import Event, StateKey
from matrix.ids import EventId
from matrix.room_versions import ROOM_VERSIONS, V1, V6, V11, V12, RoomVersion
from matrix.state_res import resolve, resolve_conflicts, unconflicted_needs
from tests.unit.matrix.random_rooms import Room, any_order, has_forks, random_room
from tests.unit.matrix.room_events import make_event, versions

FIXTURES = Path(__file__).parent / "fixtures" / "state_res"
State = dict[StateKey, EventId]


def _read_cases() -> Iterator[Any]:
    for path in sorted(FIXTURES.glob("*.json")):
        for case in json.loads(path.read_text()):
            for version in versions(case["versions"]):
                yield pytest.param(case, version, id=f"{path.stem}: {case['it']} (v{version.id})")


CASES = list(_read_cases())


def _events(case: dict[str, Any], version: RoomVersion) -> dict[EventId, Event]:
    made = (_event(fields, version) for fields in case["events"])
    return {event.event_id: event for event in made}


def _event(fields: dict[str, Any], version: RoomVersion) -> Event:
    content, auth = fields["content"], fields["auth"]
    if version.room_id_is_create_hash:
        auth = [event_id for event_id in auth if event_id != "create"]
        if "users" in content:
            content = {**content, "users": {user: n for user, n in content["users"].items() if user != "@ann:a"}}
    known = {name: fields[name] for name in ("type", "sender", "state_key", "depth")}
    ids = {"event_id": "$" + fields["id"], "auth_events": ["$" + event_id for event_id in auth]}
    return make_event(version, {**known, **ids, "content": content, "origin_server_ts": fields["ts"]})


def _state(ids: Sequence[str], events: dict[EventId, Event]) -> State:
    return {events[EventId("$" + one)].key: EventId("$" + one) for one in ids}


def _resolve(case: dict[str, Any], version: RoomVersion, states: Sequence[State] | None = None) -> State:
    events = _events(case, version)
    rejected = {EventId("$" + one) for one in case.get("rejected", ())}
    states = [_state(one, events) for one in case["states"]] if states is None else states
    return resolve(version, states, events.__getitem__, rejected=rejected)


@pytest.mark.parametrize(("case", "version"), CASES)
def test_the_states_resolve_as_the_specification_says(case: dict[str, Any], version: RoomVersion) -> None:
    assert _resolve(case, version) == _state(case["resolved"], _events(case, version))


@pytest.mark.parametrize(("case", "version"), CASES)
def test_the_order_of_the_states_does_not_matter(case: dict[str, Any], version: RoomVersion) -> None:
    events = _events(case, version)
    for states in permutations(_state(one, events) for one in case["states"]):
        assert _resolve(case, version, states) == _state(case["resolved"], events)


@pytest.mark.parametrize("version", [V1, V11, V12], ids=lambda version: version.id)
def test_where_nothing_differs_no_events_are_needed(version: RoomVersion) -> None:
    state = {("m.room.create", ""): EventId("$create")}
    no_events: dict[EventId, Event] = {}
    assert resolve(version, [], no_events.__getitem__) == {}
    assert resolve(version, [state, state], no_events.__getitem__) == state


def test_the_unconflicted_needs_are_what_replaying_looks_at() -> None:
    case = next(param.values[0] for param in CASES if "same time are both kept" in param.id)
    events = _events(case, V12)
    states = [_state(one, events) for one in case["states"]]
    unconflicted, conflicted = conflicts(states)
    joins = [events[event_id] for part in conflicted for event_id in part.values()]
    assert unconflicted_needs(unconflicted, joins) == {"$create", "$levels", "$public"}


SEEDS = st.integers(0, 2**32)
ANY_VERSION = st.sampled_from(list(ROOM_VERSIONS.values()))


@settings(max_examples=40, deadline=None)
@given(ANY_VERSION, SEEDS, SEEDS)
def test_any_order_of_arrival_gives_the_same_state(version: RoomVersion, seed: int, arrival: int) -> None:
    events = random_room(version, seed, 24)
    first, second = Room(version), Room(version)
    for event in events:
        first.receive(event)
    for event in any_order(events, arrival):
        second.receive(event)
    assert first.after == second.after
    assert first.rejected == second.rejected


@settings(max_examples=30, deadline=None)
@given(ANY_VERSION, SEEDS, st.data())
def test_who_has_a_part_of_the_room_agrees_on_it(version: RoomVersion, seed: int, data: st.DataObject) -> None:
    events = random_room(version, seed, 24)
    whole, part = Room(version), Room(version)
    for event in events:
        whole.receive(event)
    last = data.draw(st.sampled_from(events))
    needed = auth_chain(
        [last.event_id], lambda each: [*whole.events[each].prev_events, *whole.events[each].auth_events]
    )
    for event in events:
        if event.event_id in needed:
            part.receive(event)
    assert part.after == {event_id: whole.after[event_id] for event_id in needed}
    assert part.rejected == whole.rejected & needed


@settings(max_examples=30, deadline=None)
@given(ANY_VERSION, SEEDS)
def test_the_part_in_conflict_is_resolved_as_within_the_whole(version: RoomVersion, seed: int) -> None:
    room, states = _room_and_states(version, seed)
    resolved = resolve(version, states, room.events.__getitem__, rejected=room.rejected)
    # Some state that all of them share, whatever it is, moves nothing.
    more = make_event(
        version,
        {"event_id": "$more", "type": "org.example.more", "state_key": "", "sender": "@ann:a", "content": {}},
    )
    events = {**room.events, more.event_id: more}
    wider = [{**state, more.key: more.event_id} for state in states]
    assert resolve(version, wider, events.__getitem__, rejected=room.rejected) == {**resolved, more.key: more.event_id}


def test_random_rooms_have_forks_conflicts_and_rejected_events() -> None:
    rooms = [(version, random_room(version, seed, 24)) for seed in range(5) for version in (V1, V6, V12)]
    assert all(has_forks(events) for _, events in rooms)
    rejected = differing = 0
    for version, events in rooms:
        room = Room(version)
        for event in events:
            room.receive(event)
            states = [room.after[event_id] for event_id in event.prev_events]
            differing += any(state != states[0] for state in states)
        rejected += len(room.rejected)
    assert rejected > 10
    assert differing > 20


def _room_and_states(version: RoomVersion, seed: int) -> tuple[Room, list[State]]:
    room = Room(version)
    for event in random_room(version, seed, 24):
        room.receive(event)
    return room, [room.after[event_id] for event_id in list(room.events)[-4:]]


@settings(max_examples=30, deadline=None)
@given(ANY_VERSION, SEEDS, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_the_states_matters(version: RoomVersion, seed: int, random: Any) -> None:
    room, states = _room_and_states(version, seed)
    expected = resolve(version, states, room.events.__getitem__, rejected=room.rejected)
    shuffled = [*states, random.choice(states)]
    random.shuffle(shuffled)
    assert resolve(version, shuffled, room.events.__getitem__, rejected=room.rejected) == expected


@settings(max_examples=30, deadline=None)
@given(ANY_VERSION, SEEDS)
def test_what_all_the_states_have_is_kept(version: RoomVersion, seed: int) -> None:
    room, states = _room_and_states(version, seed)
    resolved = resolve(version, states, room.events.__getitem__, rejected=room.rejected)
    unconflicted, _ = conflicts(states)
    assert unconflicted.items() <= resolved.items()


@settings(max_examples=30, deadline=None)
@given(ANY_VERSION.filter(lambda version: version.state_resolution != "v1"), SEEDS)
def test_no_more_events_are_looked_up_than_the_caller_is_told_to_load(version: RoomVersion, seed: int) -> None:
    room, states = _room_and_states(version, seed)
    unconflicted, conflicted = conflicts(states)

    def auth_of(event_id: EventId) -> Sequence[EventId]:
        return room.events[event_id].auth_events

    parts = [list(part.values()) for part in conflicted]
    difference = auth_difference(parts, list(unconflicted.values()), auth_of)
    in_conflict = {event_id for part in parts for event_id in part}
    full = in_conflict | difference | conflicted_subgraph(in_conflict, auth_of)
    needs = unconflicted_needs(unconflicted, map(room.events.__getitem__, full))
    levels = [unconflicted[key] for key in [("m.room.power_levels", "")] if key in unconflicted]
    create = EventId("$create")
    loaded = {
        event_id: room.events[event_id]
        for event_id in auth_chain(in_conflict | set(levels), auth_of) | needs | {create}
    }
    resolved = resolve_conflicts(
        version, unconflicted, conflicted, loaded.__getitem__, auth_difference=difference, rejected=room.rejected
    )
    assert {**unconflicted, **resolved} == resolve(version, states, room.events.__getitem__, rejected=room.rejected)
