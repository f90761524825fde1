"""The events that relate to another.

Source: client-server API, "Relationships API".
"""

from collections.abc import Sequence

import orjson

from homeserver.client_api.history_query import token
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.services.rooms.related_events import RelatedEvents, RelatedPage, RelatedQuery
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import route
from matrix.ids import EventId, RoomId

# As Synapse: 5 if the client says nothing, for which it has no maximum of its own but this of all pages.
DEFAULT_LIMIT, MAX_LIMIT = 5, 1_000


def _paths(rest: str) -> Sequence[str]:
    of_event = "/rooms/{room_id}/relations/{event_id}" + rest
    return (f"/_matrix/client/v1{of_event}", f"/_matrix/client/unstable{of_event}")


class RelationsApi:
    def __init__(self, *, related_events: RelatedEvents, client_events: ClientEvents, imported: ImportedIds) -> None:
        self._imported = imported
        self._related_events = related_events
        self._client_events = client_events

    @route("GET", *_paths(""))
    async def get_all(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        return await self._answer(call, room_id, event_id)

    @route("GET", *_paths("/{rel_type}"))
    async def get_of_type(self, call: Call, room_id: RoomId, event_id: EventId, rel_type: str) -> Answer:
        return await self._answer(call, room_id, event_id, rel_type)

    @route("GET", *_paths("/{rel_type}/{event_type}"))
    async def get_of_types(
        self, call: Call, room_id: RoomId, event_id: EventId, rel_type: str, event_type: str
    ) -> Answer:
        return await self._answer(call, room_id, event_id, rel_type, event_type)

    async def _answer(
        self,
        call: Call,
        room_id: RoomId,
        event_id: EventId,
        rel_type: str | None = None,
        event_type: str | None = None,
    ) -> Answer:
        asked = call.query
        unstable = "org.matrix.msc3981.recurse"
        query = RelatedQuery(
            parent_id=await self._imported.real(call.user, room_id, event_id),
            rel_type=rel_type,
            event_type=event_type,
            recurse=asked.boolean("recurse", False) or asked.boolean(unstable, False),
            backwards=asked.choice("dir", ("b", "f"), "b") == "b",
            start=token(call, "from"),
            stop=token(call, "to"),
            limit=asked.integer("limit", DEFAULT_LIMIT, minimum=1, clamp=MAX_LIMIT),
        )
        page = await self._related_events.children(call.user.user_id, room_id, query)
        chunk = await self._client_events.write(Reader.of(call.user), page.seen)
        return RawJson([b'{"chunk":[', b",".join(chunk), b"]", _rest(page), b"}"])


def _rest(page: RelatedPage) -> bytes:
    rest: dict[str, object] = {}
    if page.next_batch is not None:
        rest["next_batch"] = str(page.next_batch)
    if page.prev_batch is not None:
        rest["prev_batch"] = str(page.prev_batch)
    if page.depth is not None:
        rest["recursion_depth"] = page.depth
    return b"," + orjson.dumps(rest)[1:-1] if rest else b""
