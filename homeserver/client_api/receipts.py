"""Receipts and read markers.

Source: client-server API, "Receipts", "Fully read markers".
"""

from homeserver.services.presence import Presence
from homeserver.services.receipts import FULLY_READ, READ, READ_PRIVATE, NewReceipt, Receipts
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import InvalidParam
from matrix.ids import EventId, RoomId

# read_markers has had an unstable name for private receipts before version 1.4.
_MARKERS = (
    (FULLY_READ, FULLY_READ),
    (READ, READ),
    (READ_PRIVATE, READ_PRIVATE),
    ("org.matrix.msc2285.read.private", READ_PRIVATE),
)


class ReceiptsApi:
    def __init__(self, *, receipts: Receipts, presence: Presence, imported: ImportedIds) -> None:
        self._receipts = receipts
        self._imported = imported
        self._presence = presence

    @route("POST", *client("/rooms/{room_id}/receipt/{receipt_type}/{event_id}"))
    async def post_receipt(self, call: Call, room_id: RoomId, receipt_type: str, event_id: EventId) -> Answer:
        if receipt_type not in (READ, READ_PRIVATE, FULLY_READ):
            raise InvalidParam(f"Unknown receipt type {receipt_type[:80]!r}")
        thread_id = _thread_id(call.json(empty_ok=True))
        if thread_id is not None and receipt_type == FULLY_READ:
            raise InvalidParam("m.fully_read has no thread_id")
        event_id = await self._imported.real(call.user, room_id, event_id)
        new = NewReceipt(receipt_type=receipt_type, event_id=event_id, thread_id=thread_id)
        await self._receipts.put(call.user.user_id, room_id, [new])
        self._presence.was_active(call.user.user_id)
        return {}

    @route("POST", *client("/rooms/{room_id}/read_markers"))
    async def post_read_markers(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json(empty_ok=True)
        new = [
            NewReceipt(receipt_type=receipt_type, event_id=await self._imported.real(call.user, room_id, event_id))
            for name, receipt_type in _MARKERS
            if (event_id := body.optional_parsed(name, EventId)) is not None
        ]
        await self._receipts.put(call.user.user_id, room_id, new)
        self._presence.was_active(call.user.user_id)
        return {}


def _thread_id(body: Fields) -> str | None:
    """Source: "Threaded read receipts": a string that is not empty."""
    if "thread_id" not in body.raw:
        return None
    value = body.raw["thread_id"]
    if not isinstance(value, str) or not value or len(value) > 255 or "\x00" in value:
        raise InvalidParam("thread_id must be a string that is not empty")
    return value
