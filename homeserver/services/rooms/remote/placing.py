"""Decides what becomes of an event of another server, and stores it: the last three checks on receipt.

Theory of operation. One decision at a time for each room, under the lock that local sends take too. Where the event
follows all extremities its state before is the room's own, and it is decided in memory and committed as a local one.
Else its state before is worked out (state_before.py), it is stored with it, and the room's state becomes what all
extremities together make. While there are very many it is mostly what the event makes of it, which may differ for a
while, and only of every so-manieth event what all make: else each event would cost more than the one before it. What
that changes beside the event's own key is announced by an entry of its own (`Kind.ROOM`, `resolved`) just before the
event, and is the room's state from there on.

Rejected and soft-failed events have no position: no reader of the stream hears of them. They are kept with their flag
and the state before them, since later events may rest on them.

Source: server-server API, "Checks performed on receipt of a PDU", 4 to 7; "Rejection"; "Soft failure".
"""

from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred

from homeserver.runtime.caches import Lru
from homeserver.runtime.metrics import Metrics
from homeserver.services.rooms.heads import Extremity, Head, Heads
from homeserver.services.rooms.remote.arrival import (
    ACCEPTED,
    Arrival,
    Outcome,
    Verdict,
    of_one_room,
    rejected,
    soft_failed,
    verdict_of,
)
from homeserver.services.rooms.remote.claims import Claims
from homeserver.services.rooms.remote.edges import Edges
from homeserver.services.rooms.remote.judging import (
    check_by_auth_events,
    check_by_state,
    is_outlier,
    keys_judging,
)
from homeserver.services.rooms.remote.resets import Resets
from homeserver.services.rooms.remote.rows import Placed, Rows
from homeserver.services.rooms.remote.state_before import Settled, StateBefore, difference
from matrix.errors import AuthRuleFailed, Forbidden, MatrixError
from matrix.events import Event, StateKey
from storage.change import AlreadyThere, Change, HeadMoved
from storage.commit import Committer
from storage.events import Events, StoredEvent
from storage.interning import Nids
from storage.overlays import Changes, Graph

ATTEMPTS = 20
# Of more extremities than this not all are resolved together for each event, but half as many an event on average.
MAX_RESOLVED = 50
# With so many, what names none of them does not become another one. Where a user of ours may speak there never are:
# see loose_ends.py.
MAX_EXTREMITIES = 500
# Rooms with so many ends that are remembered at once.
MAX_CROWDED = 10_000

StateEvents = Mapping[StateKey, StoredEvent]


@frozen(kw_only=True)
class PlacingParts:
    heads: Heads
    events: Events
    committer: Committer
    event_nids: Nids
    states: StateBefore
    edges: Edges
    rows: Rows
    claims: Claims
    resets: Resets
    metrics: Metrics


@frozen(eq=False)
class _Decided:
    stored: StoredEvent
    verdict: Verdict
    head: Head | None = None  # that was advanced
    committed: "Deferred[object] | None" = None


@frozen(eq=False)
class _Line:
    """A head whose extremities an event names, as it was when that was seen."""

    head: Head
    after: int | Change
    prev_nids: Sequence[int]


class Placing:
    def __init__(self, parts: PlacingParts) -> None:
        self._heads = parts.heads
        self._events = parts.events
        self._committer = parts.committer
        self._event_nids = parts.event_nids
        self._states = parts.states
        self._edges = parts.edges
        self._rows = parts.rows
        self._claims = parts.claims
        self._resets = parts.resets
        # By room: how many events there were since all extremities were resolved together.
        self._carried: Lru[int, int] = Lru("rooms_carried", MAX_CROWDED)
        outcomes = parts.metrics.counter("remote_events", "Events of other servers by what became of them", ["outcome"])
        self._outcomes = {one: outcomes.labels(one.name.lower()) for one in Outcome}

    async def place(self, arrival: Arrival, *, strict: bool = False) -> tuple[StoredEvent, Verdict]:
        """The event as it is stored, and why it was not accepted if so. One that is there already is no work.

        `strict`: what is not accepted is not stored, but raises Forbidden. Raises: NotFound for an unknown room.
        """
        by_auth = _judge_by_auth_events(arrival)
        if strict and by_auth is not ACCEPTED:
            raise Forbidden(by_auth.reason)
        for _ in range(ATTEMPTS):
            async with self._heads.linearizer.of(arrival.event.room_id):
                decided = await self._decide(arrival, by_auth, strict)
            if decided.committed is None:
                return decided.stored, decided.verdict
            try:
                await decided.committed
            except HeadMoved:
                self._undo(decided)
            except AlreadyThere:
                # Another process was given it too.
                self._undo(decided)
                if await self._events.find(arrival.event.event_id) is None:
                    raise
            except BaseException:
                self._undo(decided)
                raise
            else:
                self._outcomes[decided.verdict.outcome].inc()
                if decided.head is None:
                    # Memory may have it as an outlier.
                    self._events.forget(decided.stored)
                return decided.stored, decided.verdict
        raise MatrixError(503, "M_UNKNOWN", "The room is too busy, try again")

    async def append(self, arrival: Arrival) -> "Deferred[None] | None":
        """Places an event that follows all that the room has, and that nobody has looked for: most are so.

        The next may be decided at once; what is given fires when the event is durable, and fails if anything was
        different after all (HeadMoved, NotNew): then it is as if nothing had been. None: it does not simply follow.
        """
        event = arrival.event
        if arrival.refused is not None or _judge_by_auth_events(arrival) is not ACCEPTED:
            return None
        async with self._heads.linearizer.of(event.room_id):
            head = await self._heads.get(event.room_id)
            if not self._is_linear(event, head) or await self._events.find(event.event_id):
                return None
            line = _Line(head, head.after, [nid for nid, _, _ in head.extremities])
            judged_by = await self._heads.state_events(head, keys_judging(event))
            if not _passes(event, judged_by):
                return None
            decided = await self._append(arrival, None, line, judged_by, is_new=True)
        return Deferred.fromCoroutine(self._appended(decided))

    async def _appended(self, decided: _Decided) -> None:
        assert decided.committed is not None
        try:
            await decided.committed
        except BaseException:
            self._undo(decided)
            raise
        self._outcomes[decided.verdict.outcome].inc()

    async def _decide(self, arrival: Arrival, by_auth: Verdict, strict: bool) -> _Decided:
        event = arrival.event
        known = await self._events.find(event.event_id)
        if known is not None and not is_outlier(known):
            return _Decided(known, verdict_of(known))
        head = await self._heads.get(event.room_id)
        is_plain = not arrival.told and arrival.refused is None
        if by_auth is ACCEPTED and is_plain and self._is_linear(event, head):
            # Another process's event may move the head while we wait: the commit has to see that.
            line = _Line(head, head.after, [nid for nid, _, _ in head.extremities])
            judged_by = await self._heads.state_events(head, keys_judging(event))
            if _passes(event, judged_by):
                return await self._append(arrival, known, line, judged_by)
        # What is refused by the room's state is stored with what it was judged by, as any other event.
        return await self._decide_off_line(arrival, known, by_auth, strict)

    async def _append(
        self,
        arrival: Arrival,
        known: StoredEvent | None,
        line: _Line,
        judged_by: StateEvents,
        *,
        is_new: bool = False,
    ) -> _Decided:
        """The event follows all that the room has. `is_new`: nobody has looked whether it is new; the commit does."""
        event, head = arrival.event, line.head
        placed = Placed(
            arrival=arrival,
            known=known,
            nid=await self._number(arrival, known),
            room_nid=head.room_nid,
            prev_nids=line.prev_nids,
            judged_by=judged_by,
            is_unreferred=self._events.expected.is_unreferred(event.event_id),
            is_new=is_new,
        )
        stored = self._rows.make(placed)
        try:
            stored.replaces = head.state.get(event.key) if event.is_state else None
            change = Change()
            if is_new:
                change.only_if_new(event.event_id)
            await self._rows.accept(change, placed, stored)
        except BaseException:
            self._events.forget(stored)
            raise
        head.advance(stored)
        head.after = change
        change.on_head(head.room_nid, line.after, [nid for nid, _, _ in head.extremities])
        return _Decided(stored, ACCEPTED, head, self._committer(change))

    async def _decide_off_line(
        self, arrival: Arrival, known: StoredEvent | None, by_auth: Verdict, strict: bool
    ) -> _Decided:
        event = arrival.event
        settled = await self._states.settled(event.room_id)
        head = settled.head
        prev = await self._events.by_id([one for one in event.prev_events if one not in arrival.told])
        is_whole = self._is_due(event, head)
        ends = head.extremities if is_whole else ()
        wanted = {stored.nid for stored in prev.values()} | {nid for nid, _, _ in ends}
        graph = await self._states.graph(settled, wanted)
        told = [difference(head.state, state) for state in arrival.told.values()]
        after_prev = [graph.after(stored.nid) for stored in prev.values() if stored.nid in graph.standings]
        before = await self._states.resolve(head, head.state, [*after_prev, *told] or [difference(head.state, {})])
        claimed = await self._claims.add(head, head.state, arrival, before)
        before = claimed.before
        judged_by = await self._states.events_of(head.state, before, keys_judging(event))
        verdict = by_auth if by_auth is not ACCEPTED else of_one_room(prev.values(), head.room_nid)
        if verdict is ACCEPTED:
            verdict = await self._judge(arrival, head, before, judged_by)
        if strict and verdict is not ACCEPTED:
            raise Forbidden(verdict.reason)
        placed = Placed(
            arrival=arrival,
            known=known,
            nid=await self._number(arrival, known),
            room_nid=head.room_nid,
            prev_nids=[prev[one].nid for one in event.prev_events if one in prev],
            judged_by=judged_by,
            before=before,
            bases={settled.position: {}, **graph.bases},
            claimed=claimed.unknown,
            is_unreferred=self._events.expected.is_unreferred(event.event_id),
        )
        if verdict is not ACCEPTED:
            change = Change()
            stored = await self._rows.keep(change, placed, head.state, verdict.flags)
            # The head does not move: whoever decides next need not know of it.
            return _Decided(stored, verdict, None, self._committer(change))
        return await self._join(placed, settled, graph, list(prev.values()), is_whole=is_whole)

    def _is_linear(self, event: Event, head: Head) -> bool:
        """Does it follow all that the room has, and is the room's state what all that makes?"""
        ends = {event_id for _, event_id, _ in head.extremities}
        return set(event.prev_events) == ends and not self._carried.get(head.room_nid, 0)

    def _is_due(self, event: Event, head: Head) -> bool:
        """Are all extremities to be resolved together for this event?"""
        left = sum(1 for end in head.extremities if end[1] not in event.prev_events)
        return left < MAX_RESOLVED or self._carried.get(head.room_nid, 0) * MAX_RESOLVED >= 2 * left

    async def _judge(self, arrival: Arrival, head: Head, before: Changes, judged_by: StateEvents) -> Verdict:
        try:
            check_by_state(arrival.event, judged_by)
        except AuthRuleFailed as error:
            return rejected(error)
        # In a room that is known in part, what it is now we do not know either: as Synapse.
        if not self._claims.count_in(head.room_nid):
            # After a gap our own view of the room may be old, but gaps are easy to make: both count, as in Synapse.
            now: Changes = {}
            if arrival.told:
                now = await self._states.resolve(head, head.state, [{}, before])
            current = await self._states.events_of(head.state, now, keys_judging(arrival.event))
            try:
                check_by_state(arrival.event, current)
            except AuthRuleFailed as error:
                return soft_failed(error)
        if _is_one_too_many(arrival.event, head.extremities):
            return Verdict(Outcome.SOFT_FAILED, "the room has too many ends that nobody ties together")
        return ACCEPTED if arrival.refused is None else Verdict(Outcome.SOFT_FAILED, arrival.refused)

    async def _join(
        self, placed: Placed, settled: Settled, graph: Graph, prev: Sequence[StoredEvent], *, is_whole: bool
    ) -> _Decided:
        """An event off the line becomes an extremity, and the room's state what all extremities make.

        If not `is_whole`: what the event makes of it.
        """
        head, event = settled.head, placed.arrival.event
        stored = self._rows.make(placed)
        try:
            extremities = await self._edges.after(head, stored, prev)
            if not is_whole and len(extremities) <= MAX_RESOLVED:
                # By way of what nobody sees it follows more than it names.
                graph, is_whole = await self._states.graph(settled, [nid for nid, _, _ in extremities]), True
            after = {**placed.before, event.key: stored.nid} if event.is_state else placed.before
            if is_whole:
                states = [after if nid == stored.nid else graph.after(nid) for nid, _, _ in extremities]
            else:
                states = [{}, *(after for nid, _, _ in extremities if nid == stored.nid)]
            new = {stored.nid: [one.nid for one in placed.arrival.auth]}
            changes = await self._states.resolve(head, head.state, states, new)
            others = {key: nid for key, nid in changes.items() if nid != stored.nid}
            await self._resets.look(head, others, event)
            change = Change()
            await self._rows.join(change, placed, stored, head, changes)
        except BaseException:
            self._events.forget(stored)
            raise
        self._count(head.room_nid, is_whole=is_whole)
        _advance(head, changes, extremities)
        head.after = change
        change.on_head(head.room_nid, settled.position, [nid for nid, _, _ in extremities])
        return _Decided(stored, ACCEPTED, head, self._committer(change))

    def _count(self, room_nid: int, *, is_whole: bool) -> None:
        if not is_whole:
            self._carried.set(room_nid, self._carried.get(room_nid, 0) + 1)
        elif self._carried.get(room_nid):
            self._carried.set(room_nid, 0)

    async def _number(self, arrival: Arrival, known: StoredEvent | None) -> int:
        if known is not None:
            return known.nid
        above = max((stored.nid for stored in arrival.auth), default=0)
        [nid] = await self._event_nids.take(1, above=above)
        return nid

    def _undo(self, decided: _Decided) -> None:
        self._events.forget(decided.stored)
        if decided.head is not None:
            self._heads.drop(decided.head)


def _judge_by_auth_events(arrival: Arrival) -> Verdict:
    try:
        check_by_auth_events(arrival.event, arrival.auth, arrival.create)
    except AuthRuleFailed as error:
        return rejected(error)
    return ACCEPTED


def _passes(event: Event, state: StateEvents) -> bool:
    try:
        check_by_state(event, state)
    except AuthRuleFailed:
        return False
    return True


def _is_one_too_many(event: Event, extremities: Sequence[Extremity]) -> bool:
    return len(extremities) >= MAX_EXTREMITIES and {end[1] for end in extremities}.isdisjoint(event.prev_events)


def _advance(head: Head, changes: Changes, extremities: Sequence[Extremity]) -> None:
    head.extremities = list(extremities)
    for key, nid in changes.items():
        if nid:
            head.state[key] = nid
        else:
            head.state.pop(key, None)
