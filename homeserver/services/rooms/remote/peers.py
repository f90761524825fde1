"""What is asked of other servers for the sake of a room's graph.

All raise RemoteError.
"""

from collections.abc import Collection
from typing import Protocol

from matrix.events import Json
from matrix.ids import EventId, RoomId, ServerName


class Peers(Protocol):
    async def event(self, server: ServerName, event_id: EventId) -> Json: ...

    async def state(self, server: ServerName, room_id: RoomId, event_id: EventId) -> Json: ...

    async def state_ids(self, server: ServerName, room_id: RoomId, event_id: EventId) -> Json: ...

    async def event_auth(self, server: ServerName, room_id: RoomId, event_id: EventId) -> list[Json]: ...

    async def backfill(
        self, server: ServerName, room_id: RoomId, event_ids: Collection[EventId], limit: int
    ) -> list[Json]: ...

    async def missing_events(
        self,
        server: ServerName,
        room_id: RoomId,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
        min_depth: int = 0,
    ) -> list[Json]: ...
