"""GET /rooms/{roomId}/messages.

Source: client-server API, "Getting events for a room", "Lazy-loading room members".
"""

import orjson

from homeserver.client_api.history_query import EventFilters, token
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.past_state import PastState
from homeserver.services.rooms.timeline import DEFAULT_LIMIT, MAX_LIMIT, Page, PageQuery, Timeline
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.ids import RoomId


class MessagesApi:
    def __init__(self, *, timeline: Timeline, past_state: PastState, client_events: ClientEvents) -> None:
        self._timeline = timeline
        self._past_state = past_state
        self._client_events = client_events
        self._filters = EventFilters()

    @route("GET", *client("/rooms/{room_id}/messages"), access=Access.GUEST)
    async def get_messages(self, call: Call, room_id: RoomId) -> Answer:
        query = PageQuery(
            backwards=call.query.choice("dir", ("b", "f"), "f") == "b",
            start=token(call, "from"),
            stop=token(call, "to"),
            limit=call.query.integer("limit", DEFAULT_LIMIT, minimum=0, clamp=MAX_LIMIT),
            filter=self._filters.of(call),
        )
        page = await self._timeline.page(call.user.user_id, room_id, query)
        return RawJson(await self._written(Reader.of(call.user), page, lazy=query.filter.lazy_load_members))

    async def _written(self, reader: Reader, page: Page, *, lazy: bool) -> list[bytes]:
        chunk = await self._client_events.write(reader, page.seen)
        parts = [b'{"start":', orjson.dumps(str(page.start))]
        if page.end is not None:
            parts += [b',"end":', orjson.dumps(str(page.end))]
        if lazy:
            members = await self._past_state.senders(page.view, page.seen.events)
            parts += [b',"state":[', b",".join(await self._client_events.write_state(members)), b"]"]
        return [*parts, b',"chunk":[', b",".join(chunk), b"]}"]
