"""May another server tell something of its users in a room? What it may not is dropped without a word.

Source: server-server API, "Server Access Control Lists (ACLs)", "EDUs".
"""

from collections.abc import Awaitable, Callable, Collection

from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.partial_rooms import PartialRooms
from matrix.ids import BadIdentifier, RoomId, ServerName, UserId
from storage.database import Database
from storage.room_servers import joined_users
from storage.rooms import RoomRow

HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]


class ToldRooms:
    def __init__(
        self,
        *,
        heads: Heads,
        partial: PartialRooms,
        hosts_of: HostsOf,
        acls: ServerAcls,
        database: Database,
        server_name: ServerName,
    ) -> None:
        self._heads = heads
        self._partial = partial
        self._hosts_of = hosts_of
        self._acls = acls
        self._database = database
        self._server_name = server_name

    async def of(self, origin: ServerName, room_id: object) -> RoomRow | None:
        """A room that the server and we are in, and that admits the server; else None."""
        try:
            room = await self._heads.find_room(RoomId.parse(room_id)) if isinstance(room_id, str) else None
        except BadIdentifier:
            return None
        if room is None:
            return None
        hosts = await self._hosts_of(room.room_nid)
        if origin not in hosts or self._server_name not in hosts:
            return None
        return room if await self._acls.may_act(origin, room.room_id) else None

    async def members(self, room: RoomRow, user_ids: Collection[UserId]) -> set[str]:
        """Those of the users who are joined to the room. While we do not know them, their server's word counts."""
        if self._partial.is_partial(room.room_nid):
            return set(user_ids)
        return await self._database.read(joined_users, room.room_nid, list(user_ids)) if user_ids else set()


def user_of(origin: ServerName, text: object) -> UserId | None:
    """The user, if it is one of the server's own."""
    try:
        user_id = UserId.parse(text) if isinstance(text, str) else None
    except BadIdentifier:
        return None
    return user_id if user_id is not None and user_id.domain == origin else None
