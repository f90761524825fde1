"""Importing history by batch, as bridges built on mautrix bridgev2 do it where a server says that it can.

Source: the bridges; `com.beeper.backfill` is specified nowhere.
"""

from typing import Any

from homeserver.services.history_import.batch import Batch, OldEvent
from homeserver.services.history_import.service import HistoryImport
from homeserver.web.call import Call
from homeserver.web.params import MAX_INTEGER, Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import BadRequest
from matrix.ids import EventId, RoomId, UserId

FEATURE = "com.beeper.batch_sending"
# Bridges send a hundred or so; an event has 64 KiB at most.
MAX_EVENTS = 1_000
MAX_BODY_BYTES = 16 * 1024 * 1024


class BatchSendApi:
    def __init__(self, *, history: HistoryImport) -> None:
        self._history = history

    @route(
        "POST",
        "/_matrix/client/unstable/com.beeper.backfill/rooms/{room_id}/batch_send",
        access=Access.APPSERVICE,
        max_body_bytes=MAX_BODY_BYTES,
    )
    async def batch_send(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        batch = Batch(
            events=[_event(each) for each in body.items("events", max_items=MAX_EVENTS)],
            forward=body.boolean("forward", False),
            notifies=body.boolean("send_notification", False),
            read_by=body.optional_parsed("mark_read_by", UserId),
        )
        return {"event_ids": await self._history.take(call.user, room_id, batch)}


def _event(raw: Any) -> OldEvent:
    if not isinstance(raw, dict):
        raise BadRequest("events must hold objects")
    event = Fields(raw, "events.")
    if event.raw.get("state_key") is not None or event.text("type") in ("m.room.redaction", "m.room.member"):
        raise BadRequest("Only messages can be imported")
    content = event.raw.get("content")
    if not isinstance(content, dict):
        raise BadRequest("events.content must be an object")
    return OldEvent(
        claimed_id=event.optional_parsed("event_id", EventId),
        type=event.text("type", max_bytes=255),
        sender=event.parsed("sender", UserId),
        content=content,
        origin_server_ts=event.integer("origin_server_ts", minimum=0, maximum=MAX_INTEGER),
    )
