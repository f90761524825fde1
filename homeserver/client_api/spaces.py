"""The tree of a space, and summaries of rooms.

Source: client-server API, "Discovering rooms within spaces", GET /room_summary/{roomIdOrAlias}.
"""

from homeserver.client_api.membership import via_of
from homeserver.services.rooms.hierarchy import MAX_LIMIT, Hierarchy, TreeQuery
from homeserver.services.rooms.room_names import RoomNames
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.ids import RoomId

_UNSTABLE = "/_matrix/client/unstable"
_SUMMARY = (
    "/_matrix/client/v1/room_summary/{room_id_or_alias}",
    f"{_UNSTABLE}/im.nheko.summary/summary/{{room_id_or_alias}}",
    f"{_UNSTABLE}/im.nheko.summary/rooms/{{room_id_or_alias}}/summary",
)
_HIERARCHY = (
    "/_matrix/client/v1/rooms/{room_id}/hierarchy",
    f"{_UNSTABLE}/org.matrix.msc2946/rooms/{{room_id}}/hierarchy",
)


class SpacesApi:
    def __init__(self, *, hierarchy: Hierarchy, names: RoomNames) -> None:
        self._hierarchy = hierarchy
        self._names = names

    @route("GET", *_HIERARCHY, access=Access.GUEST)
    async def get_hierarchy(self, call: Call, room_id: RoomId) -> Answer:
        query = call.query
        wanted = TreeQuery(
            suggested_only=query.boolean("suggested_only", False),
            max_depth=query.optional_integer("max_depth", minimum=0),
            limit=query.integer("limit", MAX_LIMIT, minimum=1, clamp=MAX_LIMIT),
            since=query.optional_text("from"),
        )
        return await self._hierarchy.page(call.user.user_id, room_id, wanted)

    @route("GET", *_SUMMARY, access=Access.OPTIONAL)
    async def get_summary(self, call: Call, room_id_or_alias: str) -> Answer:
        found = await self._names.find(room_id_or_alias, via_of(call))
        user_id = None if call.requester is None else call.requester.user_id
        return await self._hierarchy.summary(user_id, found.room_id, found.servers)
