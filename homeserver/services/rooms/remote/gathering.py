"""Fetches what an event needs to be decided and is not here: auth events, and the state after missing events.

Everything that is asked for one event that came shares a budget, of time and of requests. What a server tells in all,
and what is told of a room in all, is bounded beside that (expense.py).

Source: server-server API, "Retrieving event authorization information", "Backfilling and retrieving missing events".
"""

from collections.abc import AsyncIterator, Awaitable, Collection, Sequence, Set
from typing import TypeVar

from attrs import define, frozen

from federation.outbound.errors import RemoteError, Unreachable
from homeserver.runtime.clock import Clock
from homeserver.runtime.slices import slices
from homeserver.services.rooms.remote.expense import Expense
from homeserver.services.rooms.remote.judging import create_id, is_outlier, is_rejected
from homeserver.services.rooms.remote.outliers import Outliers
from homeserver.services.rooms.remote.pdu_checks import PduChecks
from homeserver.services.rooms.remote.peers import Peers
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName
from matrix.room_versions import RoomVersion
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.outliers import flags_of

T = TypeVar("T")

# For one event that came: requests and seconds. Three states of a room, a hundred single events.
MAX_REQUESTS = 60
MAX_SECONDS = 300.0
# Of the events of a state that are not here, up to so many are asked for one by one; of more the whole state.
FEW_EVENTS = 30
# Events that are looked up at once.
LOOKED_UP = 500
# Events that are let go of at once: a millisecond.
FREED_AT_ONCE = 500


class Exhausted(RemoteError):
    """The budget is used up: this much work no server makes us do for one event."""


@define(eq=False)
class Budget:
    """What may be spent on the event that one server sent in one room."""

    origin: ServerName
    room_nid: int
    room_id: RoomId
    version: RoomVersion
    deadline: float
    requests: int = MAX_REQUESTS


@frozen(kw_only=True)
class Needs:
    """What an event is decided with."""

    auth: Sequence[StoredEvent]
    create: StoredEvent | None


class Gathering:
    def __init__(
        self,
        *,
        peers: Peers,
        checks: PduChecks,
        outliers: Outliers,
        events: Events,
        database: Database,
        clock: Clock,
        expense: Expense,
    ) -> None:
        self._peers = peers
        self._checks = checks
        self._outliers = outliers
        self._events = events
        self._database = database
        self._clock = clock
        self.expense = expense

    def budget(self, origin: ServerName, room_nid: int, room_id: RoomId, version: RoomVersion) -> Budget:
        return Budget(origin, room_nid, room_id, version, self._clock.seconds() + MAX_SECONDS)

    async def ask(self, budget: Budget, asking: Awaitable[T]) -> T:
        """The answer, within what is left of the budget. Raises: RemoteError."""
        left = budget.deadline - self._clock.seconds()
        if budget.requests <= 0 or left <= 0 or self.expense.is_exceeded(budget.origin, budget.room_nid):
            if hasattr(asking, "close"):
                asking.close()
            raise Exhausted(budget.origin, f"too much work for an event in {budget.room_id}")
        budget.requests -= 1
        try:
            return await self._clock.timeout(asking, left)
        except TimeoutError as error:
            raise Unreachable(budget.origin, "it took too long") from error

    async def missing(self, event_ids: Collection[EventId]) -> list[EventId]:
        """Those of the events of which we do not know the place: not here, or outliers."""
        found = await self._events.by_id(event_ids)
        outliers = [stored for stored in found.values() if is_outlier(stored)]
        if outliers:
            # Another process may have been told the place.
            flags = await self._database.read(flags_of, [stored.nid for stored in outliers])
            for stored in outliers:
                if flags.get(stored.nid, stored.flags) != stored.flags:
                    self._events.forget(stored)
            found = await self._events.by_id(event_ids)
        return [one for one in dict.fromkeys(event_ids) if one not in found or is_outlier(found[one])]

    async def needs(self, event: Event, budget: Budget | None) -> Needs:
        """Its auth events and the create event, fetched if there is a budget. What is not to be had is not there."""
        wanted = {*event.auth_events}
        if (create := create_id(event)) is not None and event.type != "m.room.create":
            wanted.add(create)
        found = await self._events.by_id(wanted)
        if len(found) < len(wanted) and budget is not None:
            pdus = await self.ask(budget, self._peers.event_auth(budget.origin, budget.room_id, event.event_id))
            await self.take_in(budget, pdus)
            found = await self._events.by_id(wanted)
        named = [found[one] for one in event.auth_events if one in found]
        return Needs(auth=named, create=found.get(create) if create is not None else None)

    async def take_in(
        self, budget: Budget, pdus: Sequence[Json], absent: Set[EventId] = frozenset()
    ) -> dict[EventId, StoredEvent]:
        """Keeps as outliers those of the PDUs that are events of the room. `absent`: as in `Outliers.add`."""
        self.expense.add(budget.origin, budget.room_nid, events=len(pdus))
        events = await self._checks.events_of(pdus, budget.version)
        return await self._outliers.add(budget.room_nid, await self._of_room(events, budget.room_id), absent)

    async def _of_room(self, events: Sequence[Event], room_id: RoomId) -> list[Event]:
        found: list[Event] = []
        async for part in slices(events, self._clock):
            found += [one for one in part if one.room_id == room_id]
        return found

    async def state_after(self, event_id: EventId, budget: Budget) -> dict[StateKey, int]:
        """The whole state after an event of which we do not know the place, as the origin says."""
        asked = self._peers.state_ids(budget.origin, budget.room_id, event_id)
        told = await self.ask(budget, asked)
        self.expense.add(budget.origin, budget.room_nid, ids=len(told["pdu_ids"]) + len(told["auth_chain_ids"]))
        lacking = await self._lacking([*told["pdu_ids"], *told["auth_chain_ids"]])
        if len(lacking) > FEW_EVENTS:
            await self._take_in_state(event_id, budget, lacking)
        elif lacking:
            await self._fetch(sorted(lacking), budget)
        state: dict[StateKey, int] = {}
        async for known in self._known(told["pdu_ids"]):
            # What is of another room is no state of this one, whoever says so.
            state.update((one.event.key, one.nid) for one in known.values() if _is_state_of(budget.room_nid, one))
        return await self._with_itself(event_id, state, budget)

    async def _take_in_state(self, event_id: EventId, budget: Budget, absent: Set[EventId] = frozenset()) -> None:
        """The whole state, and what authorises it. The answer is let go as soon as it is checked: it may be large."""
        async with self.expense.states.of(budget.origin):
            pdus = _pdus_of(await self.ask(budget, self._peers.state(budget.origin, budget.room_id, event_id)))
            kept = await self.take_in(budget, pdus, absent)
            # A little at a time: to free tens of thousands of objects takes longer than a turn may.
            while pdus or kept:
                del pdus[-FREED_AT_ONCE:]
                for _ in range(min(FREED_AT_ONCE, len(kept))):
                    kept.popitem()
                await self._clock.sleep(0)

    async def _with_itself(self, event_id: EventId, state: dict[StateKey, int], budget: Budget) -> dict[StateKey, int]:
        stored = await self._events.find(event_id)
        if stored is None:
            stored = (await self._fetch([event_id], budget)).get(event_id)
        if stored is None or stored.room_nid != budget.room_nid:
            raise RemoteError(budget.origin, "it knows the state at an event, but not the event")
        if stored.event.is_state and not is_rejected(stored):
            state[stored.event.key] = stored.nid
        return state

    async def _known(self, event_ids: Sequence[str]) -> AsyncIterator[dict[EventId, StoredEvent]]:
        """Those that are here, a few at a time."""
        async for part in slices(event_ids, self._clock, LOOKED_UP):
            yield await self._events.by_id(map(EventId, part))

    async def _lacking(self, event_ids: Sequence[str]) -> set[EventId]:
        lacking: set[EventId] = set()
        async for ids in slices(event_ids, self._clock, LOOKED_UP):
            part = {EventId(one) for one in ids}
            lacking.update(part.difference(await self._events.by_id(part)))
        return lacking

    async def _fetch(self, event_ids: Sequence[EventId], budget: Budget) -> dict[EventId, StoredEvent]:
        """Single events, as outliers; what is not to be had is left out."""
        pdus: list[Json] = []
        for event_id in event_ids:
            try:
                pdus.append(await self.ask(budget, self._peers.event(budget.origin, event_id)))
            except Exhausted:
                raise
            except RemoteError:
                continue
        return await self.take_in(budget, pdus)


def _pdus_of(answer: Json) -> list[Json]:
    return [one for one in [*answer["auth_chain"], *answer["pdus"]] if isinstance(one, dict)]


def _is_state_of(room_nid: int, stored: StoredEvent) -> bool:
    return stored.event.is_state and stored.room_nid == room_nid and not is_rejected(stored)
