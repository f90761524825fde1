"""Whether another server may ask for a room at all: do we know it, are we in it, is he, does it admit him?

Source: server-server API, "Server Access Control Lists (ACLs)", "Joining Rooms".
"""

from collections.abc import Awaitable, Callable, Collection

from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.partial_rooms import PartialRooms
from matrix.errors import Forbidden, NotFound
from matrix.ids import RoomId, ServerName
from storage.rooms import RoomRow

# The servers with a user who is joined to the room, by its number.
HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]


class Admission:
    """Everything raises NotFound for a room that we do not know, and Forbidden."""

    def __init__(
        self,
        *,
        heads: Heads,
        partial: PartialRooms,
        hosts_of: HostsOf,
        acls: ServerAcls,
        server_name: ServerName,
    ) -> None:
        self._heads = heads
        self._partial = partial
        self._hosts_of = hosts_of
        self._acls = acls
        self._server_name = server_name

    async def to_resident(self, origin: ServerName, room_id: RoomId) -> RoomRow:
        """For who wants in or out with our help. NotFound also where none of our users is any more."""
        row = await self._heads.room(room_id)
        await self.check_acl(origin, room_id)
        if not await self.is_resident(row.room_nid):
            raise NotFound("Not an active room on this server")
        if self._partial.is_partial(row.room_nid):
            raise NotFound("This server does not know all of the room yet")
        return row

    async def to_member(self, origin: ServerName, room_id: RoomId) -> RoomRow:
        """For who is in the room, and asks for what happened in it."""
        row = await self._heads.room(room_id)
        # First: the list is not for the eyes of who is not in the room.
        if not await self.is_in(origin, row.room_nid):
            raise Forbidden("Host not in room.")
        await self.check_acl(origin, room_id)
        return row

    async def whole(self, row: RoomRow) -> None:
        """Comes back when all of the room's state is known here. Raises: MatrixError 503, if that takes too long."""
        await self._partial.whole(row.room_nid)

    async def check_acl(self, origin: ServerName, room_id: RoomId) -> None:
        if not await self._acls.may_act(origin, room_id):
            raise Forbidden("Server is banned from room")

    async def is_resident(self, room_nid: int) -> bool:
        """Is one of our users in the room?"""
        return await self.is_in(self._server_name, room_nid)

    async def is_in(self, server: ServerName, room_nid: int) -> bool:
        """Is one of the server's users in the room?"""
        return server in await self._hosts_of(room_nid)

    async def hosts_of(self, room_nid: int) -> list[ServerName]:
        """All servers with a user in the room, in order."""
        return sorted(await self._hosts_of(room_nid))
