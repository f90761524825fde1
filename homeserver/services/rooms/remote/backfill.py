"""Older history, fetched from the servers in the room when somebody reads that far.

What comes is placed at negative positions, so that no sync tells it: /messages goes by depth. The state before the
oldest of it is what the server tells; before the others it is worked out, and kept as a delta.

Source: server-server API, "Backfilling and retrieving missing events".
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from attrs import frozen

from federation.outbound.errors import RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.gathering import Budget, Gathering
from homeserver.services.rooms.remote.historic import Historic
from homeserver.services.rooms.remote.missing import in_prev_order, put_beside, reached
from homeserver.services.rooms.remote.pdu_checks import PduChecks
from homeserver.services.rooms.remote.peers import Peers
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.errors import MatrixError
from matrix.events import Event
from matrix.ids import EventId, RoomId, ServerName
from matrix.room_versions import ROOM_VERSIONS
from storage import extremities
from storage.change import Entry, Kind
from storage.database import Database
from storage.extremities import Missing
from storage.interning import Nids

logger = logging.getLogger(__name__)

HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]

# As Synapse: so many events at once, from so many edges, of so many servers.
LIMIT, MAX_POINTS, MAX_SERVERS = 100, 5, 5
# Seconds: while nobody has what we lack, nobody is asked again.
PAUSE_S = 60.0
MAX_WAITING = 50


@frozen(kw_only=True)
class BackfillParts:
    heads: Heads
    database: Database
    peers: Peers
    checks: PduChecks
    gathering: Gathering
    historic: Historic
    positions: Nids
    hosts_of: HostsOf
    is_local: IsLocal
    clock: Clock


class Backfill:
    """`lacks` is cheap and asked for each page; `fill` asks other servers."""

    def __init__(self, parts: BackfillParts) -> None:
        self._parts = parts
        self._database = parts.database
        self._turns = Linearizer(max_waiting=MAX_WAITING)
        # The greatest depth of an event before which a room lacks something; 0 where it lacks nothing. Every page asks.
        self._deepest: Lru[int, int] = Lru("backfill_deepest", 50_000)
        self._in_vain: Lru[int, bool] = Lru("backfill_in_vain", 10_000, clock=parts.clock, ttl_s=PAUSE_S)

    def read_stream(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.ROOM and entry.room_nid is not None and entry.user_id is None:
                self._deepest.invalidate(entry.room_nid)

    async def lacks(self, room_nid: int, *, above: int, upto: int | None) -> bool:
        """Is something missing just before an event whose depth is in (above, upto]?"""
        return bool(await self._points(room_nid, above, upto))

    async def fill(self, room_id: RoomId, *, above: int, upto: int | None) -> bool:
        """Asks for what is missing there; True if something has come."""
        room = await self._parts.heads.find_room(room_id)
        if room is None:
            return False
        before = await self._points(room.room_nid, above, upto)
        async with self._turns.of(room_id):
            points = await self._points(room.room_nid, above, upto)
            if points != before:
                return True  # whoever was here before us has brought something
            if not points or self._in_vain.get(room.room_nid):
                return False
            servers = [one for one in await self._parts.hosts_of(room.room_nid) if not self._parts.is_local(one)]
            for server in sorted(servers, key=lambda one: one != _home(room_id))[:MAX_SERVERS]:
                budget = self._parts.gathering.budget(server, room.room_nid, room_id, ROOM_VERSIONS[room.version])
                if await self._ask(budget, [point.event_id for point in points]):
                    return True
            self._in_vain.set(room.room_nid, True)
            return False

    async def fetch(self, room_id: RoomId, event_id: EventId, server: ServerName) -> bool:
        """An event anywhere in the room's past, and some of what is before it; True if it has come."""
        room = await self._parts.heads.find_room(room_id)
        if room is None:
            return False
        async with self._turns.of(room_id):
            budget = self._parts.gathering.budget(server, room.room_nid, room_id, ROOM_VERSIONS[room.version])
            has_come = await self._ask(budget, [event_id])
            return has_come

    async def _points(self, room_nid: int, above: int, upto: int | None) -> list[Missing]:
        if above >= await self._deepest_of(room_nid):
            return []
        # More than are asked for: what a hostile server makes us lack must not hide the rest.
        return await self._database.read(extremities.missing_in, room_nid, MAX_POINTS, above, upto)

    async def _deepest_of(self, room_nid: int) -> int:
        depth = self._deepest.get(room_nid)
        if depth is None:
            version = self._deepest.version
            missing = await self._database.read(extremities.missing_in, room_nid, 1, 0, None)
            depth = missing[0].depth if missing else 0
            self._deepest.set_if_unchanged(room_nid, depth, version)
        return depth

    async def _ask(self, budget: Budget, ids: Sequence[EventId]) -> bool:
        asked = self._parts.peers.backfill(budget.origin, budget.room_id, ids, LIMIT)
        try:
            pdus = await self._parts.gathering.ask(budget, asked)
        except RemoteError as error:
            logger.info("No older history of %s: %s", budget.room_id, error)
            return False
        self._parts.gathering.expense.add(budget.origin, budget.room_nid, events=len(pdus))
        events = await self._parts.checks.events_of(pdus, budget.version)
        of_room = {one.event_id: one for one in events if one.room_id == budget.room_id}
        found = reached(ids, of_room)
        # They come newest first.
        hidden, beside = put_beside(found, list(reversed(of_room.values())), budget.origin)
        return await self._place(budget, in_prev_order(found.values()), hidden, beside)

    async def _place(
        self, budget: Budget, events: Sequence[Event], hidden: Sequence[Event], beside: Sequence[Event]
    ) -> bool:
        """Oldest first; the oldest gets the lowest position. What was put beside comes before what is as deep."""
        count = len(beside) + len(events)
        numbers = sorted(-number for number in await self._parts.positions.take(count)) if count else []
        placed: list[tuple[Event, int | None]] = list(zip(events, numbers[len(beside) :], strict=True))
        placed += [(event, None) for event in hidden]
        placed += zip(beside, numbers, strict=False)
        has_come = False
        for event, number in placed:
            try:
                has_come |= await self._parts.historic.place(event, budget, number)
            except (RemoteError, MatrixError) as error:
                logger.info("History of %s was left out, %s: %s", budget.room_id, event.event_id, error)
        return has_come


def _home(room_id: RoomId) -> str:
    return room_id.partition(":")[2]
