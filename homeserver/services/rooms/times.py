"""The event nearest to a time, also where other servers have to be asked for that part of the history.

Source: client-server API, GET /rooms/{roomId}/timestamp_to_event; server-server API, GET /timestamp_to_event.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from federation.outbound.errors import RemoteError
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.services.rooms.timeline import Timeline
from matrix.errors import NotFound
from matrix.events import Json
from matrix.ids import BadIdentifier, EventId, RoomId, ServerName, UserId
from storage.events import StoredEvent

# Of the servers in the room, so many are asked.
MAX_ASKED = 3

# The servers with a user who is joined to the room, by its number.
HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]


class TimesElsewhere(Protocol):
    async def timestamp_to_event(self, server: ServerName, room_id: RoomId, at_ms: int, direction: str) -> Json:
        """Raises: RemoteError."""
        ...


class OlderHistory(Protocol):
    """As `homeserver.services.rooms.remote.backfill` has it."""

    async def lacks(self, room_nid: int, *, above: int, upto: int | None) -> bool: ...

    async def fetch(self, room_id: RoomId, event_id: EventId, server: ServerName) -> bool:
        """The event and some of what is before it; True if it has come."""


class Times:
    def __init__(
        self,
        *,
        timeline: Timeline,
        elsewhere: TimesElsewhere,
        older: OlderHistory,
        hosts_of: HostsOf,
        is_local: IsLocal,
    ) -> None:
        self._timeline = timeline
        self._elsewhere = elsewhere
        self._older = older
        self._hosts_of = hosts_of
        self._is_local = is_local

    async def nearest(self, user_id: UserId, room_id: RoomId, ts: int, *, forward: bool) -> StoredEvent:
        """The event nearest to a time that the user may see. Raises: Forbidden, NotFound."""
        found = await self._known(user_id, room_id, ts, forward=forward)
        other = await self._known(user_id, room_id, ts, forward=not forward)
        before, after = (other, found) if forward else (found, other)
        stored = found or other
        above, upto = before.event.depth if before else 0, after.event.depth if after else None
        if stored is not None and await self._older.lacks(stored.room_nid, above=above, upto=upto):
            await self._fetch(stored.room_nid, room_id, ts, found, forward=forward)
        return await self._timeline.nearest(user_id, room_id, ts, forward=forward)

    async def _known(self, user_id: UserId, room_id: RoomId, ts: int, *, forward: bool) -> StoredEvent | None:
        """Raises: Forbidden."""
        try:
            return await self._timeline.nearest(user_id, room_id, ts, forward=forward)
        except NotFound:
            return None

    async def _fetch(
        self, room_nid: int, room_id: RoomId, ts: int, known: StoredEvent | None, *, forward: bool
    ) -> None:
        """Brings an event that is nearer than the one that we know, if anybody has one."""
        distance = None if known is None else abs(known.event.origin_server_ts - ts)
        servers = [server for server in await self._hosts_of(room_nid) if not self._is_local(server)]
        for server in sorted(servers)[:MAX_ASKED]:
            try:
                told = await self._elsewhere.timestamp_to_event(server, room_id, ts, "f" if forward else "b")
                event_id = EventId.parse(told["event_id"])
            except (RemoteError, BadIdentifier):
                continue
            is_nearer = distance is None or abs(told["origin_server_ts"] - ts) < distance
            if is_nearer and await self._older.fetch(room_id, event_id, server):
                return
