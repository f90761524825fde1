"""Random rooms: servers that act at the same time, each event judged by the resolved state of what it follows."""

import random
from collections.abc import Sequence
from itertools import pairwise

from attrs import field, frozen

from matrix.auth_needs import keys_of
from matrix.auth_rules import check
from matrix.errors import AuthRuleFailed
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId
from matrix.room_versions import RoomVersion
from matrix.state_res import resolve
from tests.unit.matrix.room_events import CREATE_ID, make_event

USERS = ("@ann:a", "@ben:b", "@cas:c", "@dee:a")
State = dict[StateKey, EventId]


@frozen
class Room:
    """A room as one server sees it: it works out the state from the events, in the order in which it gets them."""

    version: RoomVersion
    events: dict[EventId, Event] = field(factory=dict)
    after: dict[EventId, State] = field(factory=dict)
    rejected: set[EventId] = field(factory=set)

    def state_of(self, prev_events: Sequence[EventId]) -> State:
        states = [self.after[event_id] for event_id in prev_events]
        return resolve(self.version, states, self.events.__getitem__, rejected=self.rejected)

    def receive(self, event: Event) -> None:
        """Take an event whose previous events are there."""
        state = self.state_of(event.prev_events)
        self.events[event.event_id] = event
        self.after[event.event_id] = state
        try:
            check(event, {key: self.events[event_id] for key, event_id in state.items()})
        except AuthRuleFailed:
            self.rejected.add(event.event_id)
            return
        if event.is_state:
            self.after[event.event_id] = {**state, event.key: event.event_id}

    def draft(self, number: int, prev_events: Sequence[EventId], fields: Json) -> Event:
        """An event that follows these, with the auth events that their state selects."""
        state = self.state_of(prev_events)
        draft = make_event(self.version, fields)
        auth_events = [state[key] for key in keys_of(draft) if key in state]
        places = {"event_id": f"${number:03}", "prev_events": prev_events, "auth_events": auth_events, "depth": number}
        return make_event(self.version, {**fields, **places})


def random_room(version: RoomVersion, seed: int, length: int) -> list[Event]:
    """The events of a room, in the order in which they were made; some are rejected by who gets them."""
    chance = random.Random(seed)
    room = Room(version)
    creator = USERS[0]
    create: Json = {"type": "m.room.create", "sender": creator, "state_key": "", "content": {"creator": creator}}
    room.receive(make_event(version, {**create, "event_id": CREATE_ID}))
    setup = (
        _member(creator, creator, "join"),
        {"type": "m.room.power_levels", "sender": creator, "state_key": "", "content": _levels(version, chance)},
        {"type": "m.room.join_rules", "sender": creator, "state_key": "", "content": {"join_rule": "public"}},
        *(_member(user, user, "join") for user in USERS[1:]),
    )
    for number, fields in enumerate(setup):
        room.receive(room.draft(number, [list(room.events)[-1]], {**fields, "origin_server_ts": number}))
    for number in range(len(setup), length):
        prev_events = _some_ends(room, chance)
        fields = {**_act(version, chance), "origin_server_ts": chance.randrange(number + 1)}
        room.receive(room.draft(number, prev_events, fields))
    return list(room.events.values())


def any_order(events: Sequence[Event], seed: int) -> list[Event]:
    """The events in another order in which each comes after those that it follows."""
    chance, arrived, order, waiting = random.Random(seed), set[EventId](), list[Event](), list(events)
    while waiting:
        # An auth event is always among what the event's previous events rest on.
        ready = [event for event in waiting if arrived.issuperset(event.prev_events)]
        event = chance.choice(ready)
        waiting.remove(event)
        arrived.add(event.event_id)
        order.append(event)
    return order


def _some_ends(room: Room, chance: random.Random) -> list[EventId]:
    """One to three of the latest accepted events."""
    latest = [event_id for event_id in room.events if event_id not in room.rejected][-6:]
    return sorted(chance.sample(latest, min(len(latest), chance.randint(1, 3))))


def _act(version: RoomVersion, chance: random.Random) -> Json:
    sender, target = chance.choice(USERS), chance.choice(USERS)
    kind = chance.choice(("topic", "levels", "join_rules", "own", "other", "other"))
    if kind == "topic":
        return {"type": "m.room.topic", "sender": sender, "state_key": "", "content": {}}
    if kind == "levels":
        content = _levels(version, chance)
        return {"type": "m.room.power_levels", "sender": sender, "state_key": "", "content": content}
    if kind == "join_rules":
        content = {"join_rule": chance.choice(("public", "invite", "knock"))}
        return {"type": "m.room.join_rules", "sender": sender, "state_key": "", "content": content}
    if kind == "own":
        return _member(sender, sender, chance.choice(("join", "leave", "knock")))
    return _member(sender, target, chance.choice(("invite", "leave", "ban")))


def _member(sender: str, target: str, membership: str) -> Json:
    return {"type": "m.room.member", "sender": sender, "state_key": target, "content": {"membership": membership}}


def _levels(version: RoomVersion, chance: random.Random) -> Json:
    users = {user: chance.choice((0, 50, 50, 100)) for user in USERS[1:]}
    if not version.creators_have_infinite_power:
        users[USERS[0]] = 100
    return {"users": users, "state_default": chance.choice((0, 50))}


def has_forks(events: Sequence[Event]) -> bool:
    return any(second.prev_events != (first.event_id,) for first, second in pairwise(events))
