"""The change that makes a room whole: what of its history since the join is said otherwise than before.

Theory of operation. The whole state lies at the base, before the join. A key of which nothing was said since needs no
more than that. All others are said anew: what they were at the base, what the accepted events made of them, each at its
own position, and at the position of this change what clients were told otherwise, or what resolution makes beside the
events. So an interval begins where no event lies if, and only if, a client has to hear of it.

An event that turns out to be refused loses its position. One that turns out to be allowed becomes history: it gets a
negative position, as one that was fetched later.

Source: docs/decisions/0009 and 0012; MSC3902.
"""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.garbage import leave_alone
from homeserver.runtime.slices import slices
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.partial_rooms import COMPLETED
from homeserver.services.rooms.remote.replay import Judged, Line, Replay, Whole
from homeserver.services.rooms.remote.rows import MAX_TOLD, MEMBER
from homeserver.services.rooms.remote.state_before import Settled, StateBefore, difference, overlaid
from matrix.events import StateKey
from matrix.ids import ServerName
from storage import memberships, partial_rooms, state
from storage.change import At, Change, Entry, HeadMoved, Kind, int_array
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, Flags, StoredEvent
from storage.interning import Nids, StateKeys
from storage.overlays import Changes
from storage.partial_rooms import Phase
from storage.state import ABSENT

# A state of so many keys is that of a large room.
LARGE = 2_000

# (position, number) in order: what a key is from there on.
Moves = list[tuple[int | At, int]]


@frozen(kw_only=True)
class RewritingParts:
    heads: Heads
    events: Events
    database: Database
    committer: Committer
    state_keys: StateKeys
    positions: Nids
    states: StateBefore
    replay: Replay
    server_name: ServerName
    clock: Clock


@frozen(kw_only=True, eq=False)
class _Found:
    """`final`: the room's state now, as what it has in place of the state before the join."""

    whole: Whole
    settled: Settled
    phase: Phase
    judged: Sequence[Judged] = field(repr=False)
    line: Line = field(repr=False)

    @property
    def told(self) -> Mapping[StateKey, int]:
        """What clients take for the state."""
        return self.settled.head.state

    def final(self, key: StateKey) -> int:
        return self.line.final.get(key, self.whole.state.get(key, ABSENT))


class Rewriting:
    def __init__(self, parts: RewritingParts) -> None:
        self._parts = parts
        self._events = parts.events

    async def commit(self, whole: Whole) -> bool:
        """The caller holds the room's lock. False if another process was faster at something: to be tried again."""
        settled = await self._parts.states.settled(whole.room.room_id)
        phase = await self._parts.database.run(partial_rooms.load_phase, whole.row.room_nid, whole.row.base)
        told = await self._told(whole, settled, phase)
        judged = await self._parts.replay.run(whole, settled.head, phase.events, told)
        line = await self._parts.replay.line(whole, settled.head, judged)
        found = _Found(whole=whole, settled=settled, phase=phase, judged=judged, line=line)
        if len(whole.state) > LARGE:
            # Else the collector of garbage goes through all of it while its rows are made.
            leave_alone()
        change = await self._change(found)
        try:
            await self._parts.committer(change)
        except HeadMoved:
            return False
        finally:
            self._parts.heads.forget(whole.row.room_nid)
        self._take_over(judged)
        return True

    async def _told(self, whole: Whole, settled: Settled, phase: Phase) -> dict[int, Changes]:
        """Of events that name missing ones: the state before, as it was told, in place of the whole state."""
        lacking = [one.nid for one in phase.events if one.lacks_prev and one.nid != whole.row.join_nid]
        if not lacking:
            return {}
        graph = await self._parts.states.graph(settled, lacking)
        told: dict[int, Changes] = {}
        for nid in graph.standings:
            changes = difference(whole.state, overlaid(settled.head.state, graph.before(nid)))
            # Of members who were left out nothing is known there.
            told[nid] = {key: new for key, new in changes.items() if new != ABSENT or key[0] != MEMBER}
            await self._parts.clock.sleep(0)
        return told

    async def _change(self, found: _Found) -> Change:
        change, room_nid = Change(), found.whole.row.room_nid
        change.on_head(room_nid, found.settled.position)
        anew = await self._anew(found)
        refused = [one.nid for one in found.judged if one.is_rejected and not _was_rejected(one)]
        body = {
            "resolved": True,
            "whole": True,
            "partial": COMPLETED,
            "memberships": await self._members_met(found, anew),
            "rejected": refused,
        }
        at = change.announce(Entry(Kind.ROOM, room_nid, body=body))
        await self._put_intervals(change, found, anew, at)
        await self._put_events(change, found)
        ends = [(end.position, nid) for nid, end in found.line.ends.items()]
        head = max((position for position, _ in ends), default=found.settled.position)
        change.put(partial_rooms.SET_HEAD, (room_nid, max(head, found.line.last), int_array([nid for _, nid in ends])))
        for server in found.whole.row.servers:
            change.put(partial_rooms.COUNT_SERVER, (room_nid, server, -1, at))
        servers = partial_rooms.text_array([*found.whole.row.servers, self._parts.server_name])
        change.put(partial_rooms.FOUND_SERVERS, (room_nid, found.whole.row.base, servers, at))
        change.put(partial_rooms.COMPLETE, (room_nid, at))
        return change

    async def _anew(self, found: _Found) -> set[StateKey]:
        """The keys that are something else than clients were told, or than the events say."""
        told, line = found.told, found.line
        anew = {key for key in line.changes.keys() | line.final.keys() if self._ends_otherwise(found, key)}
        async for known in slices(list(told.items()), self._parts.clock):
            anew.update(key for key, nid in known if found.final(key) != nid)
        async for keys in slices(list(found.whole.state), self._parts.clock):
            anew.update(key for key in keys if key not in told and (key[0] != MEMBER or self._is_ours(key[1])))
        return anew

    def _is_ours(self, user_id: str) -> bool:
        return user_id.endswith(f":{self._parts.server_name}")

    @staticmethod
    def _ends_otherwise(found: _Found, key: StateKey) -> bool:
        return found.line.changes.get(key, found.whole.state.get(key, ABSENT)) != found.final(key)

    async def _members_met(self, found: _Found, anew: set[StateKey]) -> dict[str, list[object]] | None:
        """The memberships that nobody has been told of; None for many: all of them may be others then."""
        if len(found.whole.state) > 2 * MAX_TOLD:
            # Nearly all of them are members whom nobody knows yet.
            return None
        told = found.told
        keys = {key for key in anew if key[0] == MEMBER}
        keys |= {key for key in found.whole.state if key[0] == MEMBER and key not in told}
        keys |= {key for key in found.phase.at_base if key[0] == MEMBER}
        # Of ours who are what they were there is nothing to tell.
        keys = {key for key in keys if not self._is_ours(key[1]) or told.get(key, ABSENT) != found.final(key)}
        found_events = await self._events.get(found.final(key) for key in keys)
        # JSON has only plain strings for keys.
        return {str(key[1]): list(_membership(found, key, found_events)) for key in keys}

    async def _put_intervals(self, change: Change, found: _Found, anew: set[StateKey], at: At) -> None:
        whole, base = found.whole, found.whole.row.base
        moves: dict[StateKey, Moves] = {}
        for position, key, nid in found.line.moves:
            moves.setdefault(key, []).append((position, nid))
        for key in anew:
            moves.setdefault(key, []).append((at, found.final(key)))
        others = set(found.phase.moved)
        async for known in slices(list(found.phase.at_base.items()), self._parts.clock):
            others.update(key for key, nid in known if whole.state.get(key, ABSENT) != nid)
        for key in others:
            moves.setdefault(key, [])
        key_nids = await self._parts.state_keys.nids(moves)
        stored = await self._events.get(found.final(key) for key in moves if key[0] == MEMBER)
        for key, of_key in moves.items():
            start = whole.state.get(key, ABSENT)
            since = [(base, start), *of_key] if start or base else of_key
            room_nid = whole.row.room_nid
            change.put(partial_rooms.CLEAR, (room_nid, key_nids[key], base))
            until = [position for position, _ in since[1:]] + [None]
            for (begin, nid), end in zip(since, until, strict=True):
                change.put(partial_rooms.INTERVAL, (room_nid, key_nids[key], begin, end, nid))
            if key[0] == MEMBER and since:
                membership, nid = _membership(found, key, stored)
                change.put(memberships.PUT, (room_nid, key[1], membership, nid, since[-1][0], False))

    async def _put_events(self, change: Change, found: _Found) -> None:
        for one in found.judged:
            was = _was_rejected(one)
            position: int | None = one.position or None
            flags, replaces = one.known.flags, one.known.replaces
            if one.is_rejected:
                if one.position > 0:
                    change.put(partial_rooms.GONE, (one.position, str(Kind.GONE), "null"))
                position, flags, replaces = None, flags | Flags.REJECTED, None
            elif was:
                [number] = await self._parts.positions.take(1)
                position, flags, replaces = -number, flags & ~Flags.REJECTED, 0 if one.stored.event.is_state else None
            elif one.position > 0 and one.stored.event.is_state:
                replaces = one.replaces
            if (position, flags, replaces) != (one.known.position, one.known.flags, one.known.replaces):
                change.put(partial_rooms.REJUDGED, (one.nid, position, int(flags), replaces))
            await self._put_delta(change, found, one, is_placed=position is not None and position > 0)

    async def _put_delta(self, change: Change, found: _Found, one: Judged, *, is_placed: bool) -> None:
        base = one.position - 1 if is_placed else found.whole.row.base
        line: Changes = one.on_line if is_placed else {}
        whole = found.whole.state
        delta = {
            key: nid
            for key in one.before.keys() | line.keys()
            if (nid := one.before.get(key, whole.get(key, ABSENT))) != line.get(key, whole.get(key, ABSENT))
        }
        is_off_line = not is_placed or (one.stored.event.is_state and one.replaces == 0)
        if not delta and not is_off_line and not one.known.has_delta:
            return
        key_nids = await self._parts.state_keys.nids(delta) if delta else {}
        state.put_delta(change, one.nid, base, {key_nids[key]: nid for key, nid in delta.items()})

    def _take_over(self, judged: Sequence[Judged]) -> None:
        """What the events in memory are now."""
        for one in judged:
            if one.is_rejected:
                one.stored.flags |= Flags.REJECTED
            elif _was_rejected(one):
                self._events.forget(one.stored)
            elif one.position > 0 and one.stored.event.is_state:
                one.stored.replaces = one.replaces


def _was_rejected(one: Judged) -> bool:
    return bool(one.known.flags & Flags.REJECTED)


def _membership(found: _Found, key: StateKey, stored: Mapping[int, StoredEvent]) -> tuple[str, int]:
    """The membership and the number of the member event; who is in the state no more has left."""
    nid = found.final(key)
    if nid in stored:
        return stored[nid].event.membership or "leave", nid
    return "leave", found.told.get(key, found.phase.at_base.get(key, ABSENT))


__all__ = ["MEMBER", "Head", "Rewriting", "RewritingParts"]
