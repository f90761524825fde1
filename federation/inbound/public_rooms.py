"""Other servers look into our room directory.

Source: server-server API, "Published Room Directory".
"""

from federation.inbound.routes import V1, ServerApi, origin_of, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.public_rooms import MAX_LIMIT, PageQuery, PublicRooms
from homeserver.services.rooms.public_rooms_query import list_of, room_types_of
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from matrix.errors import Forbidden


class PublicRoomsForServersApi(ServerApi):
    """`is_open`: the configuration's allow_public_rooms_over_federation."""

    def __init__(self, *, turns: Turns, public_rooms: PublicRooms, is_open: bool) -> None:
        super().__init__(turns=turns)
        self._public_rooms = public_rooms
        self._is_open = is_open

    @server_route("GET", f"{V1}/publicRooms")
    async def get_public_rooms(self, call: Call) -> Answer:
        return await self._page(call, call.query, Fields({}))

    @server_route("POST", f"{V1}/publicRooms")
    async def search_public_rooms(self, call: Call) -> Answer:
        body = call.json(empty_ok=True)
        return await self._page(call, body, body.optional_object("filter") or Fields({}))

    async def _page(self, call: Call, fields: Fields, wanted: Fields) -> Answer:
        if not self._is_open:
            raise Forbidden(f"Federation denied with {origin_of(call)}.")
        query = PageQuery(
            # "Defaults to 0 (no limit)": as many as one page has.
            limit=fields.integer("limit", 0, minimum=0, clamp=MAX_LIMIT) or MAX_LIMIT,
            since=fields.optional_text("since") or None,
            search=wanted.text("generic_search_term", ""),
            room_types=room_types_of(wanted),
            of=list_of(fields),
            for_servers=True,
        )
        return await self._public_rooms.page(query)
