"""Judges again what was judged while a room was known in part: by the whole state before the join.

Theory of operation. The events since the join are gone through in their order. The state before each follows from the
states after those that it names, as everywhere; where one of these is still missing, what a server told of it counts.
All states are handled as what differs from the state before the join. Of the state of the room in between only the
events' own part is kept at their positions; what resolution makes beside it comes at the end.

Source: server-server API, "Checks performed on receipt of a PDU", 4 and 5; MSC3902.
"""

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Head
from homeserver.services.rooms.remote.judging import (
    check_by_auth_events,
    check_by_state,
    create_id,
    is_rejected,
    keys_judging,
)
from homeserver.services.rooms.remote.state_before import StateBefore
from matrix.errors import AuthRuleFailed
from matrix.events import StateKey
from storage.events import Events, StoredEvent
from storage.overlays import Changes
from storage.partial_rooms import PartialRow, PhaseEvent
from storage.rooms import RoomRow
from storage.state import ABSENT

# So many events are judged before others have their turn: some 5 ms.
SLICE = 50


@frozen
class Whole:
    """A room and the state before our join, by (type, state_key)."""

    row: PartialRow
    room: RoomRow
    state: Mapping[StateKey, int] = field(repr=False)


@define(eq=False)
class Judged:
    """`before` and `after`: what the states have in place of the one before the join.

    `replaces`: as in StoredEvent, of an event with a place on the line. `on_line`: what the line has in place of the
    state before the join, just before the event.
    """

    known: PhaseEvent
    stored: StoredEvent
    before: Changes
    after: Changes
    is_rejected: bool
    replaces: int | None = None
    on_line: Changes = field(factory=dict)

    @property
    def nid(self) -> int:
        return self.known.nid

    @property
    def position(self) -> int:
        return self.known.position or 0


class Replay:
    def __init__(self, *, events: Events, states: StateBefore, clock: Clock) -> None:
        self._events = events
        self._states = states
        self._clock = clock

    async def run(
        self, whole: Whole, head: Head, phase: Sequence[PhaseEvent], told: Mapping[int, Changes]
    ) -> list[Judged]:
        """Each event after those that it names. `told`: the state before those that name missing events."""
        judged: dict[int, Judged] = {}
        for at, known in enumerate(_in_order(phase), 1):
            stored = (await self._events.get([known.nid])).get(known.nid)
            if stored is None:
                continue
            judged[known.nid] = await self._judge(whole, head, known, stored, judged, told)
            if at % SLICE == 0:
                await self._clock.sleep(0)
        return list(judged.values())

    async def _judge(
        self,
        whole: Whole,
        head: Head,
        known: PhaseEvent,
        stored: StoredEvent,
        judged: Mapping[int, Judged],
        told: Mapping[int, Changes],
    ) -> Judged:
        if known.nid == whole.row.join_nid:
            before: Changes = {}
        else:
            states = [judged[nid].after for nid in known.prev_nids if nid in judged]
            if known.nid in told:
                states.append(told[known.nid])
            before = await self._together(whole, head, states)
        refused = not await self._passes(whole, stored, before, judged)
        event = stored.event
        has_effect = event.is_state and not refused
        after = {**before, event.key: stored.nid} if has_effect else before
        return Judged(known, stored, before, after, refused)

    async def _together(self, whole: Whole, head: Head, states: Sequence[Changes]) -> Changes:
        if not states:
            return {}
        if all(one is states[0] for one in states):
            return states[0]
        return await self._states.resolve(head, whole.state, states)

    async def _passes(self, whole: Whole, stored: StoredEvent, before: Changes, judged: Mapping[int, Judged]) -> bool:
        event = stored.event
        wanted = {*event.auth_events}
        if (create := create_id(event)) is not None:
            wanted.add(create)
        found = await self._events.by_id(wanted)
        auth = [found[one] for one in event.auth_events if one in found]
        # Who rests on what is refused now is refused with it.
        if any(judged[one.nid].is_rejected for one in auth if one.nid in judged):
            return False
        if any(is_rejected(one) for one in auth if one.nid not in judged):
            return False
        try:
            unrefused = [StoredEvent(one.nid, one.room_nid, one.event) for one in auth]
            check_by_auth_events(event, unrefused, found.get(create) if create is not None else None)
            check_by_state(event, await self._states.events_of(whole.state, before, keys_judging(event)))
        except AuthRuleFailed:
            return False
        return True

    async def line(self, whole: Whole, head: Head, judged: Sequence[Judged]) -> "Line":
        """Gives the events with a position their place on the line, and what comes out in the end."""
        line = Line(whole.state, {one.nid: one for one in judged})
        for at, one in enumerate(sorted((one for one in judged if one.position > 0), key=lambda one: one.position), 1):
            one.on_line = dict(line.changes) if one.before != line.changes else one.before
            if one.is_rejected:
                continue
            line.follow(one)
            if one.stored.event.is_state:
                key = one.stored.event.key
                now = one.after if len(line.ends) == 1 else await self._now(whole, head, line)
                line.take(one, is_state_now=now.get(key, whole.state.get(key, ABSENT)) == one.nid)
            if at % SLICE == 0:
                await self._clock.sleep(0)
        line.final = await self._now(whole, head, line)
        return line

    async def _now(self, whole: Whole, head: Head, line: "Line") -> Changes:
        return await self._together(whole, head, [end.after for end in line.ends.values()])


@define(eq=False)
class Line:
    """The room's state from position to position, as what differs from the state before the join.

    `moves`: (position, key, number) in order. `final`: the state of the ends together.
    """

    state: Mapping[StateKey, int] = field(repr=False)
    judged: Mapping[int, Judged] = field(repr=False)
    changes: dict[StateKey, int] = field(factory=dict)
    moves: list[tuple[int, StateKey, int]] = field(factory=list)
    ends: dict[int, Judged] = field(factory=dict)
    final: Changes = field(factory=dict)
    last: int = 0
    _named: set[int] = field(factory=set)

    def follow(self, one: Judged) -> None:
        """The event is an end, and what it names is none any more; nor is what that names, if it is refused."""
        stack = list(one.known.prev_nids)
        while stack:
            nid = stack.pop()
            if nid in self._named:
                continue
            self._named.add(nid)
            self.ends.pop(nid, None)
            behind = self.judged.get(nid)
            if behind is not None and (behind.is_rejected or behind.position <= 0):
                stack += behind.known.prev_nids
        if one.nid not in self._named or not self.ends:
            self.ends[one.nid] = one
        self.last = one.position

    def take(self, one: Judged, *, is_state_now: bool) -> None:
        key = one.stored.event.key
        if not is_state_now:
            one.replaces = 0
            return
        one.replaces = self.changes.get(key, self.state.get(key)) or None
        self.changes[key] = one.nid
        self.moves.append((one.position, key, one.nid))


def _in_order(phase: Sequence[PhaseEvent]) -> list[PhaseEvent]:
    """Each after those that it names; else as they came."""
    by_nid = {one.nid: one for one in phase}
    left = {one.nid: sum(1 for nid in set(one.prev_nids) if nid in by_nid) for one in phase}
    named_by: dict[int, list[int]] = {}
    for one in phase:
        for nid in set(one.prev_nids):
            if nid in by_nid:
                named_by.setdefault(nid, []).append(one.nid)
    ready = sorted((nid for nid, count in left.items() if not count), reverse=True)
    ordered: list[PhaseEvent] = []
    while ready:
        one = by_nid[ready.pop()]
        ordered.append(one)
        for nid in named_by.get(one.nid, ()):
            left[nid] -= 1
            if not left[nid]:
                ready.append(nid)
    return ordered
