"""Sending messages, and redacting.

Source: client-server API, "Sending events to a room", "Redactions".
"""

from homeserver.services.rooms.sending import Outgoing, Sending
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import BadRequest
from matrix.ids import EventId, RoomId

REDACTION = "m.room.redaction"
_SEND = "/rooms/{room_id}/send/{event_type}"
_REDACT = "/rooms/{room_id}/redact/{event_id}"
# An event is at most 64 KiB, but the JSON around what is escaped may be larger.
MAX_BODY_BYTES = 512 * 1024


class SendApi:
    def __init__(self, *, sending: Sending) -> None:
        self._sending = sending

    @route("PUT", *client(_SEND + "/{transaction_id}"), access=Access.GUEST, max_body_bytes=MAX_BODY_BYTES)
    async def put_message(self, call: Call, room_id: RoomId, event_type: str, transaction_id: str) -> Answer:
        return await self._send(call, room_id, event_type, transaction_id)

    @route("POST", *client(_SEND), access=Access.GUEST, max_body_bytes=MAX_BODY_BYTES)
    async def post_message(self, call: Call, room_id: RoomId, event_type: str) -> Answer:
        """Without a transaction id: each request is one event. As Synapse."""
        return await self._send(call, room_id, event_type, None)

    @route("PUT", *client(_REDACT + "/{transaction_id}"), access=Access.GUEST)
    async def put_redaction(self, call: Call, room_id: RoomId, event_id: EventId, transaction_id: str) -> Answer:
        return await self._redact(call, room_id, event_id, transaction_id)

    @route("POST", *client(_REDACT), access=Access.GUEST)
    async def post_redaction(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        return await self._redact(call, room_id, event_id, None)

    async def _send(self, call: Call, room_id: RoomId, event_type: str, transaction_id: str | None) -> Answer:
        out = Outgoing(type=event_type, content=dict(call.json().raw), origin_server_ts=timestamp(call))
        return {"event_id": await self._sending.send(call.user, room_id, out, transaction_id)}

    async def _redact(self, call: Call, room_id: RoomId, event_id: EventId, transaction_id: str | None) -> Answer:
        content = dict(call.json(empty_ok=True).raw)
        if not isinstance(content.get("reason", ""), str):
            raise BadRequest("reason must be a string")
        out = Outgoing(type=REDACTION, content=content, origin_server_ts=timestamp(call))
        return {"event_id": await self._sending.redact(call.user, room_id, event_id, out, transaction_id)}


def timestamp(call: Call) -> int | None:
    """?ts=, which only application services may set.

    Source: application service API, "Timestamp massaging".
    """
    if call.user.appservice_id is None:
        return None
    return call.query.optional_integer("ts", minimum=0)
