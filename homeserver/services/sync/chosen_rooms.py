"""Rooms by the names that clients have for them, and by the numbers that we have.

Source: client-server API, "Filtering", RoomFilter, `rooms`, `not_rooms`.
"""

from collections.abc import Iterable

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import RoomsOfUser
from matrix.filters import Chosen
from matrix.ids import RoomId


class ChosenRooms:
    def __init__(self, *, heads: Heads) -> None:
        self._heads = heads

    async def of(self, rooms: RoomsOfUser, wanted: Chosen) -> RoomsOfUser:
        """Those that the filter lets through."""
        if wanted.is_empty:
            return rooms
        names = await self._heads.rooms(rooms)
        return {nid: row for nid, row in rooms.items() if nid in names and wanted.allows(names[nid].room_id)}

    async def numbers(self, room_ids: Iterable[str]) -> set[int]:
        """The numbers of those rooms that exist."""
        rows = [await self._heads.find_room(RoomId(room_id)) for room_id in room_ids]
        return {row.room_nid for row in rows if row is not None}
