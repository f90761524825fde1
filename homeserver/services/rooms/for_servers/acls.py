"""Which servers a room admits: its access control list, in memory, as a fold of the stream.

Source: server-server API, "Server Access Control Lists (ACLs)".
"""

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.heads import Heads
from matrix import server_acl
from matrix.events import Json
from matrix.ids import RoomId, ServerName
from storage.change import Entry, Kind
from storage.database import Database
from storage.server_acls import find_content

MAX_ROOMS = 10_000
_TYPES = frozenset(("m.room.server_acl", "m.room.redaction"))


class ServerAcls:
    def __init__(self, *, heads: Heads, database: Database, server_name: ServerName) -> None:
        self._heads = heads
        self._database = database
        self._server_name = server_name
        # One-tuples: that a room has no list is known too.
        self._contents: Lru[int, tuple[Json | None]] = Lru("server_acls", MAX_ROOMS)

    async def may_act(self, server: ServerName, room_id: RoomId) -> bool:
        """Does the room admit the server? A room that we do not know has no list; we ourselves always may."""
        if server == self._server_name:
            return True
        row = await self._heads.find_room(room_id)
        return row is None or server_acl.allowed(await self._content(row.room_nid), server)

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.room_nid is None:
                continue
            if entry.kind is Kind.ROOM or (entry.kind is Kind.EVENT and entry.body.event.type in _TYPES):
                self._contents.invalidate(entry.room_nid)

    async def _content(self, room_nid: int) -> Json | None:
        known = self._contents.get(room_nid)
        if known is not None:
            return known[0]
        version = self._contents.version
        content = await self._database.run(find_content, room_nid)
        self._contents.set_if_unchanged(room_nid, (content,), version)
        return content
