"""Guests leave a room that no longer takes them.

Source: client-server API, "Guest Access", "Server behaviour".
"""

from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.membership import Membership
from homeserver.web.call import Requester
from matrix.ids import RoomId
from storage.database import Database
from storage.memberships import joined_guests


class Guests:
    def __init__(self, *, heads: Heads, membership: Membership, database: Database, tasks: Tasks) -> None:
        self._heads = heads
        self._membership = membership
        self._database = database
        self._tasks = tasks

    async def check_access(self, room_id: RoomId) -> None:
        """After a change of m.room.guest_access."""
        head = await self._heads.get(room_id)
        event = await self._heads.state_event(head, "m.room.guest_access")
        if event is None or event.event.content.get("guest_access") != "can_join":
            self._tasks.background("rooms.guests_leave", self._leave(room_id, head.room_nid))

    async def _leave(self, room_id: RoomId, room_nid: int) -> None:
        for guest in await self._database.read(joined_guests, room_nid):
            await self._membership.leave(Requester(guest, is_guest=True), room_id, limited=False)
