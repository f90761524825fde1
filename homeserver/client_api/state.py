"""The state of rooms, set and read.

Source: client-server API, GET /rooms/{roomId}/state, PUT and GET /rooms/{roomId}/state/{eventType}/{stateKey}.
"""

from homeserver.client_api.send import MAX_BODY_BYTES, timestamp
from homeserver.services.rooms.room_state import RoomState
from homeserver.services.rooms.sending import Outgoing, Sending
from homeserver.services.rooms.serialise import Around, event_json
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.ids import RoomId

_STATE = "/rooms/{room_id}/state"
# With an empty state key the last slash may be left out.
_ONE = tuple(
    path for end in ("/{event_type}/{state_key}", "/{event_type}/", "/{event_type}") for path in client(_STATE + end)
)


class StateApi:
    def __init__(self, *, sending: Sending, room_state: RoomState) -> None:
        self._sending = sending
        self._room_state = room_state

    @route("GET", *client(_STATE), access=Access.GUEST)
    async def get_all(self, call: Call, room_id: RoomId) -> Answer:
        return RawJson(await self._room_state.all(call.user.user_id, room_id))

    @route("GET", *_ONE, access=Access.GUEST)
    async def get_one(self, call: Call, room_id: RoomId, event_type: str, state_key: str = "") -> Answer:
        shape = call.query.choice("format", ("content", "event"), "content")
        stored = await self._room_state.one(call.user.user_id, room_id, event_type, state_key)
        if shape == "content":
            return stored.event.content
        return event_json(stored, Around(now_ms=call.received_ms, with_room_id=True))

    @route("PUT", *_ONE, access=Access.GUEST, max_body_bytes=MAX_BODY_BYTES)
    async def put_one(self, call: Call, room_id: RoomId, event_type: str, state_key: str = "") -> Answer:
        out = Outgoing(type=event_type, content=dict(call.json().raw), origin_server_ts=timestamp(call))
        return {"event_id": await self._sending.put_state(call.user, room_id, out, state_key)}
