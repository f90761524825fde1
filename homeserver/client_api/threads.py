"""The threads of a room.

Source: client-server API, "Querying threads in a room".
"""

import orjson

from homeserver.client_api.history_query import token
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.related_events import RelatedEvents, ThreadsQuery
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import route
from matrix.ids import RoomId

_THREADS = (
    "/_matrix/client/v1/rooms/{room_id}/threads",
    "/_matrix/client/unstable/org.matrix.msc3856/rooms/{room_id}/threads",
)
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class ThreadsApi:
    def __init__(self, *, related_events: RelatedEvents, client_events: ClientEvents) -> None:
        self._related_events = related_events
        self._client_events = client_events

    @route("GET", *_THREADS)
    async def get_threads(self, call: Call, room_id: RoomId) -> Answer:
        query = ThreadsQuery(
            participated=call.query.choice("include", ("all", "participated"), "all") == "participated",
            start=token(call, "from"),
            limit=call.query.integer("limit", DEFAULT_LIMIT, minimum=1, clamp=MAX_LIMIT),
        )
        page = await self._related_events.threads(call.user.user_id, room_id, query)
        chunk = await self._client_events.write(Reader.of(call.user), page.seen)
        rest = b"" if page.next_batch is None else b',"next_batch":' + orjson.dumps(str(page.next_batch))
        return RawJson([b'{"chunk":[', b",".join(chunk), b"]", rest, b"}"])
