"""What moved in rooms within a window of the stream: from memory if the window is there, else from the database.

One shape for both, so that what follows does not ask where it came from.
"""

from collections.abc import Collection, Iterable
from typing import Any

from attrs import define, field

from homeserver.services.sync.request import Window
from homeserver.web.replies import dumps
from storage import receipts, rooms
from storage.change import Entry, Kind
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.stream import Stream
from storage.timelines import broken_in, newest_in_rooms


@define(eq=False)
class RoomMoved:
    """`events` are those that clients may see, oldest first; with `has_gap` only the newest of the window.

    `is_resolved`: state resolution has made more or less of the room's state than the events say.

    `typing` is None if nobody began or ended; if that is not known any more, `has_lost_typing`.
    """

    events: list[StoredEvent] = field(factory=list)
    has_gap: bool = False
    is_resolved: bool = False
    typing: list[str] | None = None
    has_lost_typing: bool = False
    receipts: list[tuple[str, dict[str, Any]]] = field(factory=list)  # (user id, body of the entry)


class MovedRooms:
    def __init__(self, *, stream: Stream, database: Database, events: Events) -> None:
        self._stream = stream
        self._database = database
        self._events = events

    async def find(self, window: Window, room_nids: Collection[int], limit: int) -> dict[int, RoomMoved]:
        """Those of the rooms in which something moved. `limit` bounds a room's events that are not in memory."""
        if window.since >= self._stream.floor:
            return self._from_memory(window, room_nids)
        return await self._from_database(window, list(room_nids), limit)

    def _from_memory(self, window: Window, room_nids: Collection[int]) -> dict[int, RoomMoved]:
        moved = {}
        for room_nid in self._candidates(window, room_nids):
            entries = self._stream.room_entries(room_nid, window.since, window.upto)
            if entries:
                moved[room_nid] = _gather(entries)
        return moved

    def _candidates(self, window: Window, room_nids: Collection[int]) -> Iterable[int]:
        """The cheapest of three ways: look at what is known of the window, ask each room, or look at each entry."""
        if window.digest is not None:
            return [room_nid for room_nid in window.digest.rooms if room_nid in room_nids]
        if len(room_nids) <= window.upto - window.since:
            return [nid for nid in room_nids if self._stream.newest_in_room(nid) > window.since]
        entries = self._stream.entries(window.since, window.upto)
        return {entry.room_nid for entry in entries if entry.room_nid is not None and entry.room_nid in room_nids}

    async def _from_database(self, window: Window, room_nids: list[int], limit: int) -> dict[int, RoomMoved]:
        moved: dict[int, RoomMoved] = {}
        nids = await self._database.read(rooms.moved_since, room_nids, window.since)
        if nids:
            found = await self._database.read(newest_in_rooms, nids, window.since, window.upto, limit + 1)
            stored = await self._events.get(nid for nids in found.values() for nid in nids)
            gaps, resolved = await self._database.read(broken_in, nids, window.since, window.upto)
            for room_nid, newest in found.items():
                known = [stored[nid] for nid in newest if nid in stored and stored[nid].visible]
                events = known[-limit:] if limit else []
                moved[room_nid] = RoomMoved(
                    events,
                    len(known) > limit or room_nid in gaps,
                    room_nid in resolved or any(map(_has_lost, events)),
                    has_lost_typing=True,
                )
        told = await self._database.read(receipts.changed_since, room_nids, window.since, window.upto)
        for room_nid, user_id, body in told:
            moved.setdefault(room_nid, RoomMoved()).receipts.append((user_id, body))
        return moved


def _gather(entries: list[Entry]) -> RoomMoved:
    moved = RoomMoved()
    for entry in entries:
        if entry.kind is Kind.EVENT:
            if entry.body.visible:
                moved.events.append(entry.body)
                moved.is_resolved |= _has_lost(entry.body)
        elif entry.kind is Kind.ROOM:
            _tell_resolution(moved, entry)
        elif entry.kind is Kind.RECEIPT:
            assert entry.user_id is not None
            moved.receipts.append((entry.user_id, entry.body))
        elif entry.kind is Kind.TYPING:
            moved.typing = entry.body["user_ids"]
    return moved


def _tell_resolution(moved: RoomMoved, entry: Entry) -> None:
    if entry.user_id is None and entry.body.get("resolved"):
        moved.is_resolved = True
        if entry.body.get("gap"):
            moved.events, moved.has_gap = [], True


def _has_lost(stored: StoredEvent) -> bool:
    """State resolution preferred another to it."""
    return stored.event.is_state and not stored.became_state


def receipts_content(told: Iterable[tuple[str, dict[str, Any]]], reader: str) -> bytes | None:
    """The m.receipt event of what the reader may see: all public receipts, and his own private ones.

    It has room for one receipt of a user at an event: before those of threads goes the one that is of none (MSC4102).

    Source: client-server API, "Receipts", "Server behaviour".
    """
    content: dict[str, dict[str, dict[str, Any]]] = {}
    for user_id, body in told:
        if body["type"] == "m.read.private" and user_id != reader:
            continue
        data = {"ts": body["ts"]}
        if body.get("thread_id") is not None:
            data["thread_id"] = body["thread_id"]
        of_type = content.setdefault(body["event_id"], {}).setdefault(body["type"], {})
        if "thread_id" not in data or "thread_id" in of_type.get(user_id, data):
            of_type[user_id] = data
    return dumps({"type": "m.receipt", "content": content}) if content else None
