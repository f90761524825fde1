"""What everybody in a room is told alike: messages, and nothing else. Written once for a part of the stream.

When a message wakes hundreds of clients, their answers differ in the unread counts and in little else. So the part of
the room is written once, and for each client it is only asked whether there is something about it that makes a
difference: an own message, an ignored sender, a filter, a sender whom it has not heard of. Whoever is in doubt is
answered in the usual way, which gives the same.
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import RoomsOfUser
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.serialise import Around, event_bytes
from homeserver.services.sync.answer import Answer, RoomAnswer, with_unread
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.request import Window
from homeserver.services.sync.writing import UnreadCounts
from matrix.filters import Filter
from matrix.tokens import SyncToken
from storage.change import Entry, Kind
from storage.events import StoredEvent
from storage.stream import Stream

MAX_PARTS = 500
# An event's age is told as of when the part was written.
STALE_AFTER_MS = 1_000
# As many rooms with messages at once are told room by room anyway.
MAX_ROOMS = 10


@frozen
class _Part:
    """`written` lacks the unread counts, which are the reader's own. `events` None: not alike for all."""

    room_id: str
    events: Sequence[StoredEvent] | None
    senders: frozenset[str]
    written: bytes
    made_ms: int


class AlikeRooms:
    def __init__(
        self,
        *,
        stream: Stream,
        heads: Heads,
        lazy_members: LazyMembers,
        unread: UnreadCounts,
        partial: PartialRooms,
    ) -> None:
        self._stream = stream
        self._partial = partial
        self._heads = heads
        self._lazy_members = lazy_members
        self._unread = unread
        self._parts: Lru[tuple[int, int, int, str], _Part] = Lru("sync_alike", MAX_PARTS)

    async def add(self, window: Window, rooms: RoomsOfUser, answer: Answer) -> bool:
        """Puts all that moved into the answer, if that is nothing but messages that are told to everybody alike."""
        parts = await self._parts_for(window, rooms)
        if not parts:
            return False
        by_thread = window.request.filter.room.timeline.unread_thread_notifications
        unread = await self._unread(window.user_id, list(parts), by_thread=by_thread)
        for room_nid, part in parts.items():
            answer.join[part.room_id] = with_unread(part.written, unread.get(room_nid, {}))
        return True

    async def _parts_for(self, window: Window, rooms: RoomsOfUser) -> Mapping[int, _Part]:
        digest = window.digest
        if digest is None or digest.users_by_kind or window.user_id in digest.kinds_by_user:
            return {}
        if not _takes_all(window.request.filter):
            return {}
        moved = [room_nid for room_nid in digest.rooms if room_nid in rooms]
        if len(moved) > MAX_ROOMS or self._partial.hidden(moved, window.upto):
            return {}
        parts = {}
        for room_nid in moved:
            row = rooms[room_nid]
            if row.membership != "join" or row.position > window.since:
                return {}
            part = await self._part(window, room_nid)
            if part.events is None or not await self._holds_for(window, room_nid, row.position, part):
                return {}
            parts[room_nid] = part
        return parts

    async def _part(self, window: Window, room_nid: int) -> _Part:
        key = (window.since, window.upto, room_nid, window.request.state_name)
        part = self._parts.get(key)
        if part is None or window.now_ms - part.made_ms > STALE_AFTER_MS:
            part = await self._write(window, room_nid)
            self._parts.set(key, part)
        return part

    async def _write(self, window: Window, room_nid: int) -> _Part:
        entries = self._stream.room_entries(room_nid, window.since, window.upto)
        room_id = (await self._heads.rooms([room_nid]))[room_nid].room_id
        if not entries or not all(map(_is_message, entries)):
            return _Part(room_id, None, frozenset(), b"", window.now_ms)
        events: list[StoredEvent] = [entry.body for entry in entries]
        around = Around(now_ms=window.now_ms, membership="join")
        room = RoomAnswer(
            timeline=[event_bytes(stored, around) for stored in events],
            prev_batch=str(SyncToken(events[0].position - 1)),
            state_name=window.request.state_name,
        )
        senders = frozenset(stored.event.sender for stored in events)
        return _Part(room_id, events, senders, room.encode(joined=True), window.now_ms)

    async def _holds_for(self, window: Window, room_nid: int, come: int, part: _Part) -> bool:
        assert part.events is not None
        wanted = window.request.filter
        if len(part.events) > wanted.timeline_limit or window.user_id in part.senders:
            return False
        if window.ignored and not window.ignored.isdisjoint(part.senders):
            return False
        if any(stored.redacted_by is not None for stored in part.events):
            return False
        return not wanted.lazy_load_members or self._lazy_members.knows(window, room_nid, come, part.senders)


def _is_message(entry: Entry) -> bool:
    """An event that changes nothing but the timeline, and of which there is nothing more to say."""
    if entry.kind is not Kind.EVENT:
        return False
    stored: StoredEvent = entry.body
    return (
        stored.visible
        and not stored.event.is_state
        and stored.event.redacts is None
        and stored.redacted_by is None
        and stored.has_children is False
    )


def _takes_all(wanted: Filter) -> bool:
    """Does the filter let all events of all rooms through, as they are?"""
    room = wanted.room
    return wanted.event_fields is None and room.rooms.is_empty and room.timeline.is_empty
