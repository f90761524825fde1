"""Which room is a user's for notices of the server: one that their sender made, and asked the user into.

Nothing is kept of it beside the rooms themselves, so that it is found again after any crash, and when the user has
left it, or forgotten it.

Source: client-server API, "Server Notices".
"""

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.auth_needs import CREATE
from matrix.errors import Forbidden
from matrix.ids import RoomId, UserId

_IS_IN = ("join", "invite")


class NoticeRooms:
    """`sender` is None on a server without notices."""

    def __init__(self, *, sender: UserId | None, heads: Heads, members: Members) -> None:
        self._sender = sender
        self._heads = heads
        self._members = members

    async def find(self, user_id: UserId) -> RoomId | None:
        """The user's room; of several, which two processes may make at once, one that the user is in, the oldest."""
        if self._sender is None:
            return None
        senders = await self._members.joined_rooms(self._sender)
        own = await self._members.rooms_of(user_id)
        shared = [(own[nid].membership not in _IS_IN, nid) for nid in senders if nid in own]
        made = await self._made([nid for _, nid in shared])
        return next((made[nid] for _, nid in sorted(shared) if nid in made), None)

    async def check_may_leave(self, user_id: UserId, room_id: RoomId) -> None:
        """Who has joined may leave; but the invite cannot be rejected. Raises: Forbidden."""
        if self._sender is None:
            return
        room = await self._heads.find_room(room_id)
        own = None if room is None else (await self._members.rooms_of(user_id)).get(room.room_nid)
        if room is None or own is None or own.membership != "invite" or not await self._made([room.room_nid]):
            return
        raise Forbidden("You cannot reject this invite", "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")

    async def _made(self, room_nids: list[int]) -> dict[int, RoomId]:
        """Those of the rooms that the sender made: into others it may have been asked by anybody."""
        found = {}
        for nid, head in (await self._heads.get_many(room_nids)).items():
            create = await self._heads.state_event(head, *CREATE)
            if create is not None and create.event.sender == self._sender:
                found[nid] = head.room_id
        return found
