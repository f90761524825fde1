"""The ids of rooms by their numbers, as many as are in use."""

from collections.abc import Iterable

from homeserver.runtime.caches import Lru
from matrix.ids import RoomId
from storage.database import Database
from storage.rooms import find_rooms

MAX_ROOM_IDS = 20_000


class RoomIds:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Lru[int, RoomId] = Lru("appservice_room_ids", MAX_ROOM_IDS)

    def known(self, room_nid: int) -> RoomId | None:
        """If it is in memory."""
        return self._known.get(room_nid)

    async def load(self, room_nids: Iterable[int]) -> None:
        """Takes those into memory that are not."""
        lacking = sorted({room_nid for room_nid in room_nids if self._known.get(room_nid) is None})
        if lacking:
            for room_nid, row in (await self._database.read(find_rooms, lacking)).items():
                self._known.set(room_nid, row.room_id)
