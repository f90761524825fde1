"""A room whose graph a test writes by hand, on a server of its own: every event, and the state before it.

What stands before an event is worked out here as the specification says, so that each event names the auth events that
it must. Whether real servers come to the same is what the test asks them.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from attrs import define, field

from matrix import auth_rules, building, dag, state_res
from matrix.auth_needs import auth_keys, state_keys
from matrix.building import Draft
from matrix.errors import AuthRuleFailed
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import RoomVersion
from matrix.signing import SigningKey

State = dict[StateKey, EventId]
# Of the users, by number: what they may do from the beginning.
LEVELS = (100, 100, 50, 50, 0, 0)
ACTIONS = ("kick", "ban", "unban", "invite", "join", "leave")
MEMBER = "m.room.member"
FIRST_TIME_MS = 1_700_000_000_000


@define(eq=False)
class ScriptedRoom:
    version: RoomVersion
    server_name: ServerName
    key: SigningKey
    number: int
    events: dict[EventId, Event] = field(factory=dict)
    before: dict[EventId, State] = field(factory=dict)
    tips: list[EventId] = field(factory=list)
    room_id: RoomId = field(default=RoomId(""))
    _setup: int = 0  # nothing forks before so many events

    @property
    def users(self) -> list[UserId]:
        return [UserId(f"@u{number}:{self.server_name}") for number in range(len(LEVELS))]

    def begin(self) -> None:
        creator, *others = self.users
        if not self.version.room_id_is_create_hash:
            self.room_id = RoomId(f"!scripted{self.number}:{self.server_name}")
        # The number, since equal create events would make one room in versions whose room ids are their hashes.
        content: Json = {"room_version": self.version.id, "org.example.number": self.number}
        if not self.version.creator_is_sender:
            content["creator"] = creator
        create = self._built("m.room.create", creator, content, "", [], {})
        self.room_id = create.room_id
        self._take(create, {})
        self.say(MEMBER, creator, {"membership": "join"}, creator)
        levels = {str(user): level for user, level in zip(self.users, LEVELS, strict=True)}
        if self.version.room_id_is_create_hash:
            # There a creator stands above all levels, and must not be named.
            del levels[creator]
        self.say("m.room.power_levels", creator, {"users": levels, "events_default": 0}, "")
        self.say("m.room.join_rules", creator, {"join_rule": "public"}, "")
        for user in others:
            self.say(MEMBER, user, {"membership": "join"}, user)
        self.settle()

    def settle(self) -> None:
        """Nothing forks any more before the newest event."""
        self._setup = len(self.events) - 1

    def after(self, event_id: EventId) -> State:
        event = self.events[event_id]
        state = self.before[event_id]
        return {**state, event.key: event_id} if event.is_state else state

    def state_before(self, prev_events: Sequence[EventId]) -> State:
        states = [self.after(event_id) for event_id in prev_events]
        if len(states) == 1:
            return states[0]
        return state_res.resolve(self.version, states, self.events.__getitem__)

    def say(
        self, event_type: str, sender: str, content: Json, state_key: str | None, prev: Sequence[EventId] | None = None
    ) -> Event | None:
        """A new event on the tips, or on others; None where the room's rules do not allow it."""
        prev = list(self.tips) if prev is None else prev
        state = self.state_before(prev)
        event = self._built(event_type, UserId(sender), content, state_key, prev, state)
        needed = state_keys(self.version, event_type, sender, state_key, content)
        try:
            auth_rules.check(event, {key: self.events[state[key]] for key in needed if key in state})
        except AuthRuleFailed:
            return None
        self._take(event, state)
        return event

    def take_in(self, event: Event) -> None:
        """Another server's event, on top of what it names."""
        self._take(event, self.state_before(event.prev_events))

    def template(self, event_type: str, sender: UserId, content: Json, state_key: str) -> Json:
        """An event for another server to sign."""
        draft = self._draft(event_type, sender, content, state_key, self.tips, self.state_before(self.tips))
        return building.to_unsigned_pdu(draft, self.version)

    def auth_chain(self, of: Iterable[EventId]) -> list[Event]:
        of = list(of)
        chain = dag.auth_chain(of, lambda event_id: self.events[event_id].auth_events)
        return [self.events[event_id] for event_id in chain]

    def missing(self, latest: Iterable[EventId], earliest: Collection[EventId], limit: int) -> list[Event]:
        """What lies between, those next to `latest` first found, oldest first told: as get_missing_events says."""
        found: dict[EventId, None] = {}
        wave = [prev for event_id in latest for prev in self.events[event_id].prev_events]
        while wave and len(found) < limit:
            event_id = wave.pop(0)
            if event_id not in found and event_id not in earliest:
                found[event_id] = None
                wave += self.events[event_id].prev_events
        return [self.events[event_id] for event_id in found][::-1]

    def random_event(self, chance: random.Random) -> Event | None:
        """Something that somebody does, where it forks, joins or follows the graph; None if it is not allowed."""
        prev = self._random_prev(chance)
        state = self.state_before(prev)
        sender, target = chance.choice(self.users), chance.choice(self.users[1:])
        kind = chance.choices(("level", "member", "rules", "state", "message"), (3, 6, 1, 6, 4))[0]
        if kind == "level":
            # Resolution may leave a room without any.
            at = state.get(("m.room.power_levels", ""))
            levels = self.events[at].content if at is not None else {}
            users = {**levels.get("users", {}), str(target): chance.choice((0, 50, 100))}
            return self.say("m.room.power_levels", sender, {**levels, "users": users}, "", prev)
        if kind == "member":
            return self._random_membership(chance, sender, target, prev)
        if kind == "rules":
            rule = chance.choice(("public", "public", "invite"))
            return self.say("m.room.join_rules", sender, {"join_rule": rule}, "", prev)
        value = chance.randrange(1 << 20)
        if kind == "state":
            event_type = chance.choice(("m.room.topic", "m.room.name", "org.example.state"))
            state_key = chance.choice(("", "a", "b")) if event_type.startswith("org") else ""
            return self.say(event_type, sender, {"topic": f"{value}", "name": f"{value}"}, state_key, prev)
        return self.say("m.room.message", sender, {"msgtype": "m.text", "body": f"{value}"}, None, prev)

    def _random_membership(
        self, chance: random.Random, sender: UserId, target: UserId, prev: Sequence[EventId]
    ) -> Event | None:
        action = chance.choice(ACTIONS)
        membership = {"kick": "leave", "unban": "leave"}.get(action, action)
        if action in ("join", "leave"):
            sender = target
        # A value of its own: the same twice would be the same event in versions whose ids are hashes.
        content = {"membership": membership, "reason": f"{chance.randrange(1 << 20)}"}
        return self.say(MEMBER, sender, content, target, prev)

    def _random_prev(self, chance: random.Random) -> list[EventId]:
        lot = chance.random()
        if lot < 0.3 and len(self.tips) > 1:
            return chance.sample(self.tips, chance.randint(2, len(self.tips)))
        if lot < 0.6 and len(self.tips) < 5:
            # A fork: beside something that others have followed already.
            return [chance.choice(list(self.events)[self._setup :][-12:])]
        return [chance.choice(self.tips)]

    def _built(
        self,
        event_type: str,
        sender: UserId,
        content: Json,
        state_key: str | None,
        prev: Sequence[EventId],
        state: State,
    ) -> Event:
        draft = self._draft(event_type, sender, content, state_key, prev, state)
        return building.build(draft, self.version, self.server_name, self.key)

    def _draft(
        self,
        event_type: str,
        sender: UserId,
        content: Json,
        state_key: str | None,
        prev: Sequence[EventId],
        state: State,
    ) -> Draft:
        keys = auth_keys(self.version, event_type, sender, state_key, content)
        number = len(self.events) + 1
        return Draft(
            type=event_type,
            sender=sender,
            content=content,
            room_id=self.room_id or None,
            origin_server_ts=FIRST_TIME_MS + number * 1000,
            depth=1 + max((self.events[event_id].depth for event_id in prev), default=0),
            prev_events=[self.events[event_id] for event_id in prev],
            auth_events=[self.events[state[key]] for key in keys if key in state],
            state_key=state_key,
            event_id=None if self.version.event_id_is_hash else EventId(f"$e{self.number}x{number}:{self.server_name}"),
        )

    def _take(self, event: Event, state: State) -> None:
        self.events[event.event_id] = event
        self.before[event.event_id] = state
        self.tips = [tip for tip in self.tips if tip not in event.prev_events] + [event.event_id]


def pdus(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [event.pdu for event in events]
