"""Events of other servers, as they come: one at a time from each server for a room, each with what it needs.

Theory of operation. What is missing before an event is fetched first and placed in order; where that does not lead to
what we have, the oldest of it stands on the state that the sender tells. The event itself needs what it follows: a
server that sends it has that, and who does not tell it is not heard, as in Synapse. All of this waits for other
servers, and holds up only the server that sent the event. The decision itself is `placing.py`'s.

Source: server-server API, "PDUs", "Backfilling and retrieving missing events".
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from federation.outbound.errors import RemoteError
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.arrival import Arrival, Beside, Outcome
from homeserver.services.rooms.remote.gathering import Budget, Gathering
from homeserver.services.rooms.remote.judging import is_outlier
from homeserver.services.rooms.remote.missing import MissingEvents
from homeserver.services.rooms.remote.outliers import Outliers
from homeserver.services.rooms.remote.pdu_checks import Faulty, PduChecks
from homeserver.services.rooms.remote.placing import Placing
from matrix.errors import BadEvent, Forbidden, NotFound
from matrix.events import Event, Json
from matrix.ids import EventId, RoomId, ServerName
from matrix.room_versions import ROOM_VERSIONS
from storage.arriving import is_plain
from storage.events import Events, StoredEvent

logger = logging.getLogger(__name__)

# A transaction has 50 events, and a server sends one transaction at a time.
MAX_WAITING = 100

# Gives the event, signed by the room's policy server; and why that does not recommend it, if so.
CheckPolicy = Callable[[Event], Awaitable[tuple[Event, str | None]]]


class Receiver:
    def __init__(
        self,
        *,
        heads: Heads,
        events: Events,
        checks: PduChecks,
        gathering: Gathering,
        missing: MissingEvents,
        placing: Placing,
        outliers: Outliers,
    ) -> None:
        self._heads = heads
        self._events = events
        self._checks = checks
        self._gathering = gathering
        self._missing = missing
        self._placing = placing
        self._outliers = outliers
        self._turns = Linearizer(max_waiting=MAX_WAITING)
        # Asks the room's policy server: see policing.py.
        self.check_policy: CheckPolicy | None = None

    async def receive(self, origin: ServerName, room_id: RoomId, pdu: Json) -> None:
        """A PDU that another server sends. One that is here already is no work; nor is it a fault to be rejected.

        Raises: NotFound, BadEvent, LimitExceeded; RemoteError, if what it needs is not to be had.
        """
        room = await self._heads.room(room_id)
        version = ROOM_VERSIONS[room.version]
        [checked] = await self._checks.check([pdu], version)
        if isinstance(checked, Faulty):
            raise BadEvent(checked.reason)
        if checked.room_id != room_id:
            raise BadEvent("the event is of another room")
        if await self._is_placed(checked.event_id):
            return
        async with self._turns.of((origin, room_id)):
            await self._take(checked, self._gathering.budget(origin, room.room_nid, room_id, version))

    async def follow(self, origin: ServerName, room_id: RoomId, pdus: Sequence[tuple[EventId | None, Json]]) -> int:
        """Takes in those PDUs, from the first on, that simply follow what the room has; gives how many.

        They need no look into the database, and share commits. The others are for `receive`, one after another.
        """
        room = await self._heads.room(room_id)
        head = self._heads.known(room.room_nid)
        run = [] if head is None else _run([event_id for _, event_id, _ in head.extremities], pdus)
        if not run:
            return 0
        checked = await self._checks.check([pdu for _, pdu in run], ROOM_VERSIONS[room.version])
        # Who comes second waits for the first with `receive`, where they are counted.
        if self._turns.is_held((origin, room_id)):
            return 0
        async with self._turns.of((origin, room_id)):
            with self._events.expected.these([event_id for event_id, _ in run], ()):
                return await self._follow(room_id, checked)

    async def _follow(self, room_id: RoomId, checked: Sequence[Event | Faulty]) -> int:
        committed: list[Deferred[None]] = []
        try:
            left = await self._append(room_id, checked, committed)
        finally:
            done = await _first_good(committed)
        if left is not None and done == len(committed):
            # All that it follows is there: it can be decided as any other.
            self._events.expected.doubt(left.event.event_id)
            await self._settle(left)
            done += 1
        return done

    async def _append(
        self, room_id: RoomId, checked: Sequence[Event | Faulty], committed: "list[Deferred[None]]"
    ) -> Arrival | None:
        """Decides on one after another without waiting for the commits. Gives the one that the room does not take."""
        for event in checked:
            if isinstance(event, Faulty) or event.room_id != room_id:
                return None
            needs = await self._gathering.needs(event, None)
            if len(needs.auth) < len(event.auth_events):
                return None
            signed, refused = await self._policed(event)
            arrival = Arrival(event=signed, auth=needs.auth, create=needs.create, refused=refused)
            appended = await self._placing.append(arrival)
            if appended is None:
                return arrival
            committed.append(appended)
        return None

    async def accept(self, event: Event, *, beside: Beside | None = None) -> StoredEvent:
        """An event that we have checked and let in: a join by send_join, an invite of ours that others have signed.

        Returns when it is durable. `beside(change, stored, at)` puts further rows into the change.
        Raises: NotFound, BadEvent; Forbidden, if the room does not allow it now.
        """
        if lacking := await self._gathering.missing(event.prev_events):
            raise BadEvent(f"it names events that are not here: {', '.join(sorted(lacking)[:3])}")
        needs = await self._gathering.needs(event, None)
        event, refused = await self._policed(event)
        arrival = Arrival(event=event, auth=needs.auth, create=needs.create, beside=beside, refused=refused)
        stored, verdict = await self._placing.place(arrival, strict=True)
        if verdict.outcome is not Outcome.ACCEPTED:
            raise Forbidden(verdict.reason or "the event was refused before")
        return stored

    async def add_outliers(self, room_id: RoomId, events: Sequence[Event]) -> dict[EventId, StoredEvent]:
        """Keeps events of a room without their place in its history; gives them, and those that were here.

        Events must have passed `PduChecks`. Raises: NotFound.
        """
        room = await self._heads.room(room_id)
        return await self._outliers.add(room.room_nid, [event for event in events if event.room_id == room_id])

    async def _take(self, event: Event, budget: Budget) -> None:
        if await self._is_placed(event.event_id):
            return
        for before in await self._missing.before(event, budget):
            if await self._is_placed(before.event_id):
                continue
            try:
                await self._place(before, budget)
            except (RemoteError, NotFound) as error:
                logger.info("An event before %s in %s was left out: %s", event.event_id, event.room_id, error)
        if await self._gathering.missing(event.prev_events):
            raise RemoteError(budget.origin, f"it does not tell what {event.event_id} follows")
        await self._place(event, budget)

    async def _place(self, event: Event, budget: Budget) -> None:
        # The state first: it brings auth events along.
        told = {
            event_id: await self._gathering.state_after(event_id, budget)
            for event_id in await self._gathering.missing(event.prev_events)
        }
        needs = await self._gathering.needs(event, budget)
        if len(needs.auth) < len(event.auth_events):
            # Not stored at all, so that it is judged anew when it comes again.
            raise RemoteError(budget.origin, f"auth events of {event.event_id} are not to be had")
        event, refused = await self._policed(event)
        await self._settle(Arrival(event=event, auth=needs.auth, create=needs.create, told=told, refused=refused))

    async def _settle(self, arrival: Arrival) -> None:
        event = arrival.event
        _, verdict = await self._placing.place(arrival)
        if verdict.outcome is not Outcome.ACCEPTED:
            logger.info("%s in %s: %s, %s", event.event_id, event.room_id, verdict.outcome.name, verdict.reason)

    async def _policed(self, event: Event) -> tuple[Event, str | None]:
        return (event, None) if self.check_policy is None else await self.check_policy(event)

    async def _is_placed(self, event_id: EventId) -> bool:
        known = await self._events.find(event_id)
        return known is not None and not is_outlier(known)


def _run(extremities: Collection[EventId], pdus: Sequence[tuple[EventId | None, Json]]) -> list[tuple[EventId, Json]]:
    """Those of the PDUs, from the first on, of which each follows just what is there and the one before."""
    run: list[tuple[EventId, Json]] = []
    before = set(extremities)
    for event_id, pdu in pdus:
        if event_id is None or not is_plain(event_id) or _prev_ids(pdu) != before:
            break
        run.append((event_id, pdu))
        before = {event_id}
    return run


def _prev_ids(pdu: Json) -> set[str] | None:
    """What it says that it follows; in the first two room versions with hashes beside. None if it says nonsense."""
    named = pdu.get("prev_events")
    if not isinstance(named, list):
        return None
    ids = [one[0] if isinstance(one, list) and one else one for one in named]
    return {one for one in ids if isinstance(one, str)} if all(isinstance(one, str) for one in ids) else None


async def _first_good(committed: Sequence["Deferred[Any]"]) -> int:
    """How many, from the first on, have come to a good end. The others' faults are for who tries again."""
    results: Sequence[tuple[bool, object]] = await DeferredList(committed, consumeErrors=True)
    return next((at for at, (is_good, _) in enumerate(results) if not is_good), len(results))
