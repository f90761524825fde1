"""The room directory: what is published, and publishing.

Source: client-server API, "Published room directory"; application service API, "Application service room directories".
"""

from homeserver.services.rooms.directory import Directory
from homeserver.services.rooms.public_rooms import MAX_LIMIT, PageQuery, PublicRooms
from homeserver.services.rooms.public_rooms_query import list_of, room_types_of
from homeserver.services.rooms.remote_public_rooms import RemotePublicRooms
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import InvalidParam, MatrixError
from matrix.ids import RoomId, ServerName
from storage.published_rooms import RoomList

_VISIBILITY = client("/directory/list/room/{room_id}")
_APPSERVICE_LIST = client("/directory/list/appservice/{network_id}/{room_id}")
DEFAULT_LIMIT = 100


class DirectoryApi:
    """`open_to_all`: may those who are not signed in see the directory?"""

    def __init__(
        self,
        *,
        directory: Directory,
        public_rooms: PublicRooms,
        elsewhere: RemotePublicRooms,
        server_name: ServerName,
        open_to_all: bool,
    ) -> None:
        self._directory = directory
        self._public_rooms = public_rooms
        self._elsewhere = elsewhere
        self._server_name = server_name
        self._open_to_all = open_to_all

    @route("GET", *client("/publicRooms"), access=Access.OPTIONAL)
    async def get_public_rooms(self, call: Call) -> Answer:
        if call.requester is None and not self._open_to_all:
            raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
        return await self._page(call, PageQuery(limit=_limit(call.query), since=_since(call.query)))

    @route("POST", *client("/publicRooms"), access=Access.GUEST)
    async def search_public_rooms(self, call: Call) -> Answer:
        return await self._page(call, _parse(call.json(empty_ok=True)))

    @route("GET", *_VISIBILITY, access=Access.PUBLIC)
    async def get_visibility(self, call: Call, room_id: RoomId) -> Answer:
        return {"visibility": "public" if await self._directory.is_published(room_id) else "private"}

    @route("PUT", *_VISIBILITY)
    async def put_visibility(self, call: Call, room_id: RoomId) -> Answer:
        await self._directory.set_published(call.user, room_id, _is_public(call))
        return {}

    @route("PUT", *_APPSERVICE_LIST, access=Access.APPSERVICE)
    async def put_listed(self, call: Call, network_id: str, room_id: RoomId) -> Answer:
        await self._directory.set_listed(_list_of(call, network_id), room_id, _is_public(call))
        return {}

    @route("DELETE", *_APPSERVICE_LIST, access=Access.APPSERVICE)
    async def delete_listed(self, call: Call, network_id: str, room_id: RoomId) -> Answer:
        await self._directory.set_listed(_list_of(call, network_id), room_id, False)
        return {}

    async def _page(self, call: Call, query: PageQuery) -> Answer:
        server = call.query.optional_parsed("server", ServerName)
        if server is None or server == self._server_name:
            return await self._public_rooms.page(query)
        if call.requester is None:
            # Other servers are not asked for the sake of somebody unknown.
            raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
        return await self._elsewhere.page(server, query)


def _is_public(call: Call) -> bool:
    return call.json(empty_ok=True).choice("visibility", ("public", "private"), "public") == "public"


def _list_of(call: Call, network_id: str) -> RoomList:
    assert call.user.appservice_id is not None
    if "\x00" in network_id or len(network_id) > 255:
        raise InvalidParam("Not a network id")
    return RoomList(call.user.appservice_id, network_id)


def _limit(fields: Fields) -> int:
    """Zero, as with Synapse, is as much as we give."""
    return fields.integer("limit", DEFAULT_LIMIT, minimum=0, clamp=MAX_LIMIT) or MAX_LIMIT


def _since(fields: Fields) -> str | None:
    return fields.optional_text("since") or None


def _parse(body: Fields) -> PageQuery:
    wanted = body.optional_object("filter") or Fields({})
    return PageQuery(
        limit=_limit(body),
        since=_since(body),
        search=wanted.text("generic_search_term", ""),
        room_types=room_types_of(wanted),
        of=list_of(body),
    )
