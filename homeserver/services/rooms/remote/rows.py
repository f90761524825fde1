"""What an event of another server is in the database: rows for a change, once it is decided what becomes of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from homeserver.services.rooms.event_changes import EventChanges, put_state
from homeserver.services.rooms.heads import Head
from homeserver.services.rooms.remote.arrival import Arrival
from homeserver.services.rooms.remote.state_before import smallest_delta
from matrix.events import StateKey
from matrix.ids import EventId
from storage import awaited_redactions, extremities, memberships, outliers, relations, state
from storage import events as event_rows
from storage.awaited_redactions import AwaitedRedaction
from storage.change import At, Change, Entry, Kind, int_array
from storage.database import Database
from storage.events import EventRow, Events, StoredEvent
from storage.interning import StateKeys
from storage.overlays import Changes
from storage.state import ABSENT

MEMBER = "m.room.member"
# Of more memberships that a resolution changes, caches are told only that they have changed.
MAX_TOLD = 500


@frozen(kw_only=True, eq=False)
class Placed:
    """An event and its place: what it follows, and by what it was judged.

    `known`: the row that it has as an outlier. `before`: off the line, what the state before it has in place of the
    head's; `bases`: what the states after some positions have in place of the head's. `claimed`: what of `before` only
    the event itself says, in a room that is not known whole. `is_new`: the commit finds out whether the event is there
    or anything names it, and refuses it then.
    """

    arrival: Arrival
    known: StoredEvent | None
    nid: int
    room_nid: int
    prev_nids: Sequence[int]
    judged_by: Mapping[StateKey, StoredEvent]
    before: Changes = field(factory=dict)
    bases: Mapping[int, Changes] = field(factory=dict)
    claimed: Collection[StateKey] = ()
    # Is it known that no event names it?
    is_unreferred: bool = False
    is_new: bool = False

    @property
    def is_off_line(self) -> bool:
        return bool(self.bases)


class Rows:
    def __init__(self, *, database: Database, events: Events, state_keys: StateKeys) -> None:
        self._database = database
        self._events = events
        self._state_keys = state_keys
        self._changes = EventChanges(events=events)

    def make(self, placed: Placed) -> StoredEvent:
        """The event in memory, to be announced by its entry."""
        event = placed.arrival.event
        entry = Entry(Kind.EVENT, placed.room_nid, event.state_key if event.type == MEMBER else None)
        has_children = False if placed.is_unreferred else None
        stored = StoredEvent(placed.nid, placed.room_nid, event, entry, has_children=has_children)
        stored = entry.body = self._events.remember(stored)
        return stored

    async def accept(self, change: Change, placed: Placed, stored: StoredEvent) -> None:
        """At its position; the room's state from there on, if it replaces anything but 0."""
        assert stored.entry is not None
        key_nid = await self._key_nid(stored)
        at = change.announce(stored.entry)
        self._put_row(change, placed, stored, key_nid, at)
        if key_nid is not None and stored.became_state:
            put_state(change, stored.room_nid, key_nid, stored, at)
        if placed.arrival.told:
            extremities.add_gap(change, stored.room_nid, at)
        await self.add_effects(change, placed, stored, at)
        if placed.arrival.beside is not None:
            placed.arrival.beside(change, stored, at)

    async def join(self, change: Change, placed: Placed, stored: StoredEvent, head: Head, changes: Changes) -> None:
        """Off the line: with the state before it, and what is the room's state from there on."""
        event = stored.event
        is_state_now = event.is_state and changes.get(event.key) == stored.nid
        stored.replaces = (head.state.get(event.key) if is_state_now else ABSENT) if event.is_state else None
        others = {key: nid for key, nid in changes.items() if nid != stored.nid}
        if others or placed.arrival.told:
            body = {"gap": bool(placed.arrival.told)}
            await self.announce_resolved(change, head.room_nid, head.state, others, body, claimed=placed.claimed)
        await self.put_delta(change, placed, head.state)
        await self.accept(change, placed, stored)

    async def keep(
        self, change: Change, placed: Placed, base: Mapping[StateKey, int], flags: int, position: int | None = None
    ) -> StoredEvent:
        """Without a place in the stream: rejected, soft-failed, or history at a negative position."""
        event = placed.arrival.event
        told = StoredEvent(placed.nid, placed.room_nid, event, None, position or 0, flags)
        self._put_row(change, placed, told, await self._key_nid(told), position)
        await self.put_delta(change, placed, base)
        return told

    async def put_delta(self, change: Change, placed: Placed, base: Mapping[StateKey, int]) -> None:
        position, delta = smallest_delta(base, placed.before, placed.bases)
        key_nids = await self._state_keys.nids(delta) if delta else {}
        state.put_delta(change, placed.nid, position, {key_nids[key]: nid for key, nid in delta.items()})

    def _put_row(self, change: Change, placed: Placed, stored: StoredEvent, key_nid: int | None, at: Any) -> None:
        auth_nids = [one.nid for one in placed.arrival.auth]
        if placed.known is None:
            event_rows.add(change, EventRow(stored, key_nid, placed.prev_nids, auth_nids), at)
        else:
            row = (stored.nid, at, stored.flags, stored.replaces, int_array(placed.prev_nids), int_array(auth_nids))
            change.put(outliers.PLACE, row)
        for event_id in placed.arrival.told:
            extremities.add_missing(change, stored.room_nid, event_id, stored.nid)
        if not placed.is_new:
            extremities.found(change, stored.room_nid, stored.event_id, stored.nid)

    async def add_effects(self, change: Change, placed: Placed, stored: StoredEvent, at: At | int) -> None:
        """Relations and redactions, of an event that is shown."""
        event = stored.event
        awaited = [] if placed.is_unreferred else await self._awaited(event.event_id)
        valid = [
            one
            for one in awaited
            if one.room_nid == stored.room_nid and (one.may_any or one.sender.partition(":")[2] == event.sender.domain)
        ]
        if valid and event.type != "m.room.create":
            change.put(event_rows.SET_REDACTED, (stored.nid, valid[0].nid))
            stored.redact(valid[0].nid)
        else:
            relations.add(change, stored, at)
        if event.redacts is not None:
            await self._changes.apply_redaction(change, stored, event.redacts, placed.judged_by)

    async def _awaited(self, event_id: EventId) -> Sequence[AwaitedRedaction]:
        return (await self._database.read(awaited_redactions.find, [event_id])).get(event_id, [])

    async def announce_resolved(
        self,
        change: Change,
        room_nid: int,
        before: Mapping[StateKey, int],
        changes: Changes,
        body: Mapping[str, Any],
        *,
        claimed: Collection[StateKey] = (),
    ) -> At:
        """What is the room's state from here on without an event that says so, and whose memberships that changes.

        `body` of the entry: `gap`; `whole`, if there is more to it than these changes, so that all caches of the room
        are to be dropped. `claimed`: memberships that nobody but an event's own server vouches for.
        """
        told = await self._memberships(before, {key: nid for key, nid in changes.items() if key not in claimed})
        # JSON has only plain strings for keys; of a user of ours it may be a UserId.
        few = {str(user): list(value) for user, value in told.items()} if len(told) <= MAX_TOLD else None
        whole = bool(body.get("whole")) or few is None
        entry = Entry(Kind.ROOM, room_nid, body={**body, "resolved": True, "memberships": few, "whole": whole})
        at = change.announce(entry)
        key_nids = await self._state_keys.nids(changes) if changes else {}
        for key, nid in changes.items():
            state.set_state(change, room_nid, key_nids[key], nid, at)
        for user, (membership, nid) in told.items():
            change.put(memberships.PUT, (room_nid, user, membership, nid, at, False))
        return at

    async def _memberships(self, before: Mapping[StateKey, int], changes: Changes) -> dict[str, tuple[str, int]]:
        """Who is what by the member events that are state now; who is nothing any more has left."""
        changed = {key: nid for key, nid in changes.items() if key[0] == MEMBER}
        found = await self._events.get(nid for nid in changed.values() if nid != ABSENT)
        told: dict[str, tuple[str, int]] = {}
        for key, nid in changed.items():
            membership = found[nid].event.membership if nid in found else "leave"
            told[key[1]] = (membership or "leave", nid or before.get(key, ABSENT))
        return told

    async def _key_nid(self, stored: StoredEvent) -> int | None:
        if not stored.event.is_state:
            return None
        key = stored.event.key
        return (await self._state_keys.nids([key]))[key]
