"""The newest events of many rooms at once: from the stream in memory as far as it reaches, else from the database."""

from collections.abc import Mapping, Sequence

from storage.change import Entry, Kind
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.stream import Stream
from storage.timelines import newest_in_rooms
from storage.unread import find_after

_CREATE = "m.room.create"

EventsByRoom = dict[int, list[StoredEvent]]


class RecentEvents:
    """Neither rejected nor soft-failed ones. Oldest first."""

    def __init__(self, *, stream: Stream, database: Database, events: Events) -> None:
        self._stream = stream
        self._database = database
        self._events = events

    async def newest(self, room_nids: Sequence[int], after: int, upto: int, limit: int) -> EventsByRoom:
        """The newest `limit` events of each room in (after, upto]; nothing from before a gap in its timeline."""
        found = {nid: newest_in_memory(self._stream, nid, after, upto, limit) for nid in room_nids}
        known = {nid: events for nid, events in found.items() if events is not None}
        if missing := [nid for nid in room_nids if nid not in known]:
            known |= await self._load(await self._database.read(newest_in_rooms, missing, after, upto, limit))
        return known

    async def of_others(self, user_id: str, positions: Mapping[int, int], upto: int, limit: int) -> EventsByRoom:
        """The newest `limit` of each room in (its position, upto], gaps or not. The user's own may be among them."""
        known: EventsByRoom = {}
        missing = {}
        for nid, after in positions.items():
            if after >= self._stream.floor:
                entries = self._stream.room_entries(nid, after, upto)
                known[nid] = [entry.body for entry in entries if _is_told(entry)][-limit:]
            else:
                missing[nid] = after
        if missing:
            known |= await self._load(await self._database.read(find_after, user_id, missing, upto, limit))
        return known

    async def _load(self, nids_by_room: Mapping[int, Sequence[int]]) -> EventsByRoom:
        stored = await self._events.get(nid for nids in nids_by_room.values() for nid in nids)
        return {room_nid: [stored[nid] for nid in nids if nid in stored] for room_nid, nids in nids_by_room.items()}


def newest_in_memory(stream: Stream, room_nid: int, after: int, upto: int, limit: int) -> list[StoredEvent] | None:
    """As `RecentEvents.newest`, of one room; None if the stream in memory does not reach back that far."""
    found: list[StoredEvent] = []
    for entry in stream.newest_first(room_nid):
        if entry.position <= after or len(found) == limit:
            return found[::-1]
        if entry.position > upto:
            continue
        if _is_told(entry):
            found.append(entry.body)
            if entry.body.event.type == _CREATE:
                return found[::-1]
        elif _is_gap(entry):
            return found[::-1]
    return found[::-1] if after >= stream.floor or len(found) == limit else None


def _is_told(entry: Entry) -> bool:
    return entry.kind is Kind.EVENT and not entry.body.flags


def _is_gap(entry: Entry) -> bool:
    """It comes right before the first event that follows the gap."""
    return entry.kind is Kind.ROOM and entry.user_id is None and bool(entry.body.get("gap"))
