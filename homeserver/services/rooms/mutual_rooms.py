"""Which rooms two users are both in.

Source: client-server API, "Mutual Rooms".
"""

from attrs import frozen

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.errors import InvalidParam
from matrix.ids import RoomId, UserId

PAGE = 100


@frozen
class MutualPage:
    """`following`: the number of the last room of this page, if there are more."""

    rooms: list[RoomId]
    count: int
    following: int | None


class MutualRooms:
    def __init__(self, *, heads: Heads, members: Members) -> None:
        self._heads = heads
        self._members = members

    async def page(self, user_id: UserId, other: UserId, after: int = 0) -> MutualPage:
        """Rooms that both are joined to, in an order that stays. Raises: InvalidParam for the user's own id."""
        if other == user_id:
            raise InvalidParam("You are in all your rooms with yourself")
        own = await self._members.joined_rooms(user_id)
        mutual = sorted(set(own).intersection(await self._members.joined_rooms(other)))
        wanted = [room_nid for room_nid in mutual if room_nid > after][: PAGE + 1]
        rows = await self._heads.rooms(wanted[:PAGE])
        following = wanted[PAGE - 1] if len(wanted) > PAGE else None
        return MutualPage([row.room_id for row in rows.values()], len(mutual), following)
