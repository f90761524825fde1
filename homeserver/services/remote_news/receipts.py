"""m.receipt: users of another server have read up to some events. Source: server-server API, "Receipts"."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from homeserver.services.remote_news.rooms import ToldRooms, user_of
from matrix.errors import BadRequest
from matrix.events import Json
from matrix.ids import MAX_BYTES, BadIdentifier, EventId, ServerName, UserId
from storage import receipts
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.events import Events
from storage.rooms import RoomRow

# Of one EDU: a server that gathers those of many rooms sends the rest with the next one.
MAX_ROOMS, MAX_RECEIPTS = 200, 1_000
_READ = "m.read"
# What a timestamp may be: an integer that every JSON reader can hold.
_MAX_TS = 2**53 - 1


@frozen
class Told:
    user_id: UserId
    event_id: EventId
    thread_id: str | None
    ts: int


class RemoteReceipts:
    def __init__(self, *, rooms: ToldRooms, events: Events, database: Database, committer: Committer) -> None:
        self._rooms = rooms
        self._events = events
        self._database = database
        self._committer = committer

    async def receive(self, origin: ServerName, content: Json) -> None:
        """A receipt moves forward only. What is not for that server to tell is dropped. Raises: BadRequest."""
        if len(content) > MAX_ROOMS:
            raise BadRequest(f"Receipts of more than {MAX_ROOMS} rooms")
        change, left = Change(), MAX_RECEIPTS
        for room_id, of_room in content.items():
            told = list(_read(origin, of_room, left))
            left -= len(told)
            if told and (room := await self._rooms.of(origin, room_id)) is not None:
                await self._add(change, room, told)
        if change.entries:
            await self._committer(change)

    async def _add(self, change: Change, room: RoomRow, told: Sequence[Told]) -> None:
        members = await self._rooms.members(room, {one.user_id for one in told})
        told = [one for one in told if one.user_id in members]
        if not told:
            return
        reached = await self._database.read(receipts.reached_by, room.room_nid, list(members))
        found = await self._events.by_id({one.event_id for one in told})
        for one in told:
            stored = found.get(one.event_id)
            if stored is not None and stored.room_nid != room.room_nid:
                continue
            position = 0 if stored is None else stored.position
            key = (str(one.user_id), one.thread_id)
            if position > reached.get(key, -1):
                reached[key] = position
                _put(change, room, one, position)


def _put(change: Change, room: RoomRow, told: Told, position: int) -> None:
    body = receipts.body(told.event_id, _READ, told.thread_id, told.ts)
    at = change.announce(Entry(Kind.RECEIPT, room.room_nid, told.user_id, body))
    key = (room.room_nid, told.user_id, _READ, receipts.thread_column(told.thread_id))
    change.put(receipts.PUT, (*key, told.event_id, position, told.ts, at))


def _read(origin: ServerName, of_room: Any, limit: int) -> Iterator[Told]:
    """The receipts of a room that are well-formed, of users of the server, at most so many."""
    users = of_room.get(_READ) if isinstance(of_room, dict) else None
    if not isinstance(users, dict):
        return
    for name, receipt in list(users.items())[: max(0, limit)]:
        user_id = user_of(origin, name)
        if user_id is not None and (told := _read_one(user_id, receipt)) is not None:
            yield told


def _read_one(user_id: UserId, receipt: Any) -> Told | None:
    if not isinstance(receipt, dict) or not isinstance(receipt.get("data"), dict):
        return None
    event_ids, data = receipt.get("event_ids"), receipt["data"]
    ts, thread_id = data.get("ts"), data.get("thread_id")
    if not isinstance(event_ids, list) or len(event_ids) != 1 or not isinstance(event_ids[0], str):
        return None
    if type(ts) is not int or not 0 <= ts <= _MAX_TS or not _is_thread(thread_id):
        return None
    try:
        return Told(user_id, EventId.parse(event_ids[0]), thread_id, ts)
    except BadIdentifier:
        return None


def _is_thread(thread_id: Any) -> bool:
    """None, or "main", or the id of the thread's root."""
    if thread_id is None:
        return True
    is_text = isinstance(thread_id, str) and thread_id != "" and "\x00" not in thread_id
    return is_text and len(thread_id.encode("utf-8", "surrogatepass")) <= MAX_BYTES
