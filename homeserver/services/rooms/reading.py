"""May a user read a room at all, and up to where? The one answer for all that reads history.

Which of the events up to there the user sees is another question: visibility.py.

Source: client-server API, "Room History Visibility", "Room Previews".
"""

from attrs import frozen

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from matrix.errors import Forbidden
from matrix.ids import RoomId, UserId
from matrix.visibility import HISTORY_VISIBILITY, visibility_of
from storage import state
from storage.database import Database
from storage.events import Events

_LEFT = frozenset(("leave", "ban"))


@frozen
class View:
    """`until`: the position at which the user went; None for the room as it is."""

    room_nid: int
    room_id: RoomId
    until: int | None = None


class Reading:
    def __init__(
        self, *, heads: Heads, members: Members, partial: PartialRooms, events: Events, database: Database
    ) -> None:
        self._heads = heads
        self._members = members
        self._partial = partial
        self._events = events
        self._database = database

    async def view(self, user_id: UserId, room_id: RoomId) -> View:
        """Raises: Forbidden to who neither is nor was in the room, unless anyone may read it."""
        room = await self._heads.find_room(room_id)
        if room is None:
            raise _not_there(user_id, room_id)
        own = (await self._members.rooms_of(user_id)).get(room.room_nid)
        if own is not None and own.membership == "join":
            return View(room.room_nid, room_id)
        if await self._is_world_readable(room_id):
            return View(room.room_nid, room_id)
        if own is None or own.forgotten or own.membership not in _LEFT:
            raise _not_there(user_id, room_id)
        if not await self._was_joined(room.room_nid, user_id):
            raise _not_there(user_id, room_id)
        return View(room.room_nid, room_id, own.position)

    async def whole(self, room_nid: int) -> None:
        """Comes back when all members of the room are known. Raises: MatrixError 503, if that takes too long."""
        await self._partial.whole(room_nid)

    async def _is_world_readable(self, room_id: RoomId) -> bool:
        stored = await self._heads.state_event(await self._heads.get(room_id), *HISTORY_VISIBILITY)
        return visibility_of(None if stored is None else stored.event.content) == "world_readable"

    async def _was_joined(self, room_nid: int, user_id: UserId) -> bool:
        """Who only declined an invite has never been there."""
        intervals = await self._database.read(state.history, room_nid, [("m.room.member", user_id)])
        events = await self._events.get(nid for _, _, _, nid in intervals)
        return any(stored.event.membership == "join" for stored in events.values())


def _not_there(user_id: UserId, room_id: RoomId) -> Forbidden:
    # A room that we do not know is no different to who asks.
    return Forbidden(f"User {user_id} not in room {room_id}, and room previews are disabled")
