"""One event of a room: by its id, or by the time at which it was sent.

Source: client-server API, GET /rooms/{roomId}/event/{eventId}, GET /rooms/{roomId}/timestamp_to_event.
"""

from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.services.rooms.timeline import Timeline
from homeserver.services.rooms.times import Times
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.ids import EventId, RoomId

_BY_TIME = (
    "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event",
    "/_matrix/client/unstable/org.matrix.msc3030/rooms/{room_id}/timestamp_to_event",
)


class EventApi:
    def __init__(self, *, timeline: Timeline, times: Times, client_events: ClientEvents, imported: ImportedIds) -> None:
        self._imported = imported
        self._timeline = timeline
        self._times = times
        self._client_events = client_events

    @route("GET", *client("/rooms/{room_id}/event/{event_id}"), access=Access.GUEST)
    async def get_event(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        event_id = await self._imported.real(call.user, room_id, event_id)
        seen = await self._timeline.event(call.user.user_id, room_id, event_id)
        return RawJson(await self._client_events.write(Reader.of(call.user), seen))

    @route("GET", *_BY_TIME)
    async def get_by_time(self, call: Call, room_id: RoomId) -> Answer:
        ts = call.query.integer("ts", minimum=0)
        forward = call.query.choice("dir", ("b", "f"), "f") == "f"
        stored = await self._times.nearest(call.user.user_id, room_id, ts, forward=forward)
        return {"event_id": stored.event_id, "origin_server_ts": stored.event.origin_server_ts}
