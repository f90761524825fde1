"""A room's events for a server that is in the room: one, those before others, those that it missed.

Source: server-server API, "Backfilling and retrieving missing events", "Retrieving events".
"""

from collections.abc import Collection, Iterable, Sequence

from attrs import frozen

from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.visibility import ServerVisibility
from matrix.errors import NotFound
from matrix.events import Event
from matrix.ids import EventId, RoomId, ServerName
from storage import graph_walks, history
from storage.database import Database
from storage.events import Events, Flags, StoredEvent

# As Synapse.
MAX_BACKFILL, MAX_MISSING = 100, 20


@frozen(kw_only=True)
class Gap:
    """What a server says that it misses: what comes before `latest`, and not before `earliest`."""

    latest: Collection[EventId]
    earliest: Collection[EventId]
    limit: int = 10
    min_depth: int = 0


class HistoryForServers:
    """Everything raises Forbidden for a server that is not in the room. What it may not see it gets redacted."""

    def __init__(
        self,
        *,
        admission: Admission,
        events: Events,
        database: Database,
        visibility: ServerVisibility,
    ) -> None:
        self._admission = admission
        self._events = events
        self._database = database
        self._visibility = visibility

    async def event(self, origin: ServerName, event_id: EventId) -> Event:
        """Raises: NotFound."""
        stored = await self._events.find(event_id)
        if stored is None or stored.flags & Flags.REJECTED:
            raise NotFound(f"Could not find event {event_id}")
        await self._admission.to_member(origin, stored.event.room_id)
        (shown,) = await self._visibility.show(origin, stored.room_nid, [stored])
        return shown.event

    async def backfill(
        self, origin: ServerName, room_id: RoomId, event_ids: Sequence[EventId], limit: int
    ) -> list[Event]:
        """The events and those before them, newest first. Raises: NotFound."""
        room = await self._admission.to_member(origin, room_id)
        known = await self._numbers(room.room_nid, event_ids)
        nids = await self._database.run(graph_walks.back_from, room.room_nid, known, min(limit, MAX_BACKFILL))
        return await self._shown(origin, room.room_nid, nids)

    async def missing(self, origin: ServerName, room_id: RoomId, gap: Gap) -> list[Event]:
        """The events of the gap that are nearest to its end, oldest first. Raises: NotFound."""
        room = await self._admission.to_member(origin, room_id)
        latest = await self._numbers(room.room_nid, gap.latest)
        earliest = await self._numbers(room.room_nid, gap.earliest)
        limit = min(gap.limit, MAX_MISSING)
        nids = await self._database.run(
            graph_walks.missing_between, room.room_nid, latest, earliest, limit, gap.min_depth
        )
        return await self._shown(origin, room.room_nid, list(reversed(nids)))

    async def nearest(self, origin: ServerName, room_id: RoomId, ts: int, *, forward: bool) -> StoredEvent:
        """The event nearest to a time that the server may see. Raises: NotFound."""
        room = await self._admission.to_member(origin, room_id)
        nids = await self._database.read(history.nearest_in_time, room.room_nid, ts, forward=forward)
        events = await self._in_order(nids)
        shown = await self._visibility.show(origin, room.room_nid, events)
        for stored, one in zip(events, shown, strict=True):
            if one.is_whole:
                return stored
        raise NotFound(f"Unable to find event from {ts} in {'forward' if forward else 'backward'} direction")

    async def _numbers(self, room_nid: int, event_ids: Iterable[EventId]) -> list[int]:
        """Of those of the events that we have in the room."""
        found = await self._events.by_id(event_ids)
        return [stored.nid for stored in found.values() if stored.room_nid == room_nid]

    async def _shown(self, origin: ServerName, room_nid: int, nids: Sequence[int]) -> list[Event]:
        shown = await self._visibility.show(origin, room_nid, await self._in_order(nids))
        return [one.event for one in shown]

    async def _in_order(self, nids: Sequence[int]) -> list[StoredEvent]:
        found = await self._events.get(nids)
        return [found[nid] for nid in nids if nid in found]
