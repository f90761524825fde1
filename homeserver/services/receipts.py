"""Read receipts and the fully-read marker.

A receipt only moves forward: one for an older event than the user has receipted already changes nothing.

Source: client-server API, "Receipts", "Fully read markers", "Threaded read receipts".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.errors import Forbidden, InvalidParam
from matrix.ids import EventId, RoomId, UserId
from matrix.relations import thread_root
from storage import account_data, receipts
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.receipts import Told
from storage.rooms import RoomRow

READ, READ_PRIVATE, FULLY_READ = "m.read", "m.read.private", "m.fully_read"
MAIN_TIMELINE = "main"


@frozen(kw_only=True)
class NewReceipt:
    """`thread_id`: None unthreaded, "main", or a thread root's event id."""

    receipt_type: str
    event_id: EventId
    thread_id: str | None = None


class Receipts:
    def __init__(
        self,
        *,
        heads: Heads,
        members: Members,
        events: Events,
        database: Database,
        committer: Committer,
        clock: Clock,
    ) -> None:
        self._heads = heads
        self._members = members
        self._events = events
        self._database = database
        self._committer = committer
        self._clock = clock

    async def put(self, user_id: UserId, room_id: RoomId, new: Sequence[NewReceipt]) -> None:
        """Sets receipts and markers of a user. Raises: NotFound, Forbidden, InvalidParam."""
        room = await self._heads.room(room_id)
        if not await self._members.is_joined(user_id, room.room_nid):
            raise Forbidden(f"User {user_id} is not in room {room_id}")
        change = Change()
        known = (await self._database.read(receipts.read_upto, user_id, [room.room_nid])).get(room.room_nid, [])
        reached = {(one.receipt_type, one.thread_id): one.event_position for one in known}
        for receipt in new:
            stored = await self._events.find(receipt.event_id)
            if stored is not None and stored.room_nid != room.room_nid:
                raise InvalidParam("The event is not in the room")
            if receipt.receipt_type == FULLY_READ:
                _put_marker(change, user_id, room, receipt)
                continue
            await self._check_thread(receipt, stored)
            position = 0 if stored is None else stored.position
            if position > reached.get((receipt.receipt_type, receipt.thread_id), -1):
                self._put(change, user_id, room, receipt, position)
        if change.entries:
            await self._committer(change)

    async def of_rooms(self, room_nids: Sequence[int]) -> Mapping[int, list[Told]]:
        """All receipts of the rooms."""
        return await self._database.read(receipts.all_of_rooms, list(room_nids))

    async def _check_thread(self, receipt: NewReceipt, stored: StoredEvent | None) -> None:
        """Source: "Threaded read receipts": the event must be of the thread, or its root."""
        if receipt.thread_id in (None, MAIN_TIMELINE) or stored is None or receipt.thread_id == receipt.event_id:
            return
        if thread_root(stored.event.content) not in (None, receipt.thread_id):
            raise InvalidParam("The event is not in the thread")

    def _put(self, change: Change, user_id: UserId, room: RoomRow, receipt: NewReceipt, event_position: int) -> None:
        now = self._clock.now_ms()
        body = receipts.body(receipt.event_id, receipt.receipt_type, receipt.thread_id, now)
        at = change.announce(Entry(Kind.RECEIPT, room.room_nid, user_id, body))
        thread = receipts.thread_column(receipt.thread_id)
        key = (room.room_nid, user_id, receipt.receipt_type, thread)
        change.put(receipts.PUT, (*key, receipt.event_id, event_position, now, at))


def _put_marker(change: Change, user_id: UserId, room: RoomRow, receipt: NewReceipt) -> None:
    body: dict[str, Any] = {"room_id": room.room_id, "type": FULLY_READ}
    at = change.announce(Entry(Kind.ACCOUNT_DATA, None, user_id, body))
    content = orjson.dumps({"event_id": receipt.event_id}).decode()
    change.put(account_data.PUT, (user_id, room.room_id, FULLY_READ, content, at, False))
