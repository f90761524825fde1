"""Events that are known without their place in the history: state and auth chains as other servers tell them.

They are judged by their auth events alone, and kept, so that later events can be judged by them.

Source: server-server API, "Checks performed on receipt of a PDU", 1 to 4; "Retrieving event authorization information".
"""

from collections.abc import Mapping, Sequence, Set

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.garbage import leave_alone
from homeserver.runtime.slices import slices
from homeserver.services.rooms.remote.judging import check_by_auth_events, create_id, in_auth_order
from matrix.auth_needs import CREATE
from matrix.errors import AuthRuleFailed
from matrix.events import Event
from matrix.ids import EventId
from storage.database import Database
from storage.events import EventRow, Events, Flags, StoredEvent
from storage.interning import Nids, StateKeys
from storage.outliers import add_outliers

# Judged at once, some 3 ms; written at once; and looked up at once.
SLICE, BATCH, LOOKED_UP = 25, 250, 500
# After so many events they are the state of a large room.
LARGE = 500


@frozen(eq=False)
class _Judged:
    stored: StoredEvent
    auth: Sequence[StoredEvent]


class Outliers:
    def __init__(
        self, *, database: Database, events: Events, state_keys: StateKeys, event_nids: Nids, clock: Clock
    ) -> None:
        self._database = database
        self._events = events
        self._state_keys = state_keys
        self._event_nids = event_nids
        self._clock = clock

    async def add(
        self, room_nid: int, events: Sequence[Event], absent: Set[EventId] = frozenset()
    ) -> dict[EventId, StoredEvent]:
        """Stores those that are new; gives them and those that are known, by id.

        Left out: whose auth events are neither known nor among them, so that nobody can judge it.
        `absent`: those that were not in the database when the caller looked.
        """
        known = await self._known(events, absent)
        new: list[Event] = []
        async for part in slices(events, self._clock):
            new += [event for event in part if event.event_id not in known]
        judged = await self._judge(room_nid, new, dict(known))
        while judged:
            batch = judged[:BATCH]
            # Let go of as they are written: to free all of them in the end takes longer than a turn may.
            del judged[:BATCH]
            known.update(await self._write(batch, known))
        given: dict[EventId, StoredEvent] = {}
        async for part in slices(events, self._clock):
            given.update((event.event_id, known[event.event_id]) for event in part if event.event_id in known)
        return given

    async def _known(self, events: Sequence[Event], absent: Set[EventId]) -> dict[EventId, StoredEvent]:
        """Those of the events, and of their auth events, that are here."""
        known: dict[EventId, StoredEvent] = {}
        asked: set[EventId] = set()
        async for part in slices(events, self._clock, LOOKED_UP):
            wanted: set[EventId] = set()
            for event in part:
                wanted.update((event.event_id, *event.auth_events))
                if (create := create_id(event)) is not None:
                    wanted.add(create)
            wanted -= asked
            asked |= wanted
            known |= await self._events.by_id(
                one for one in wanted if one not in absent or self._events.known_by_id(one) is not None
            )
        return known

    async def _in_auth_order(self, events: Sequence[Event]) -> list[Event]:
        steps = in_auth_order(events)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                ordered: list[Event] = done.value
                return ordered
            await self._give_way(len(events))

    async def _judge(self, room_nid: int, new: Sequence[Event], known: dict[EventId, StoredEvent]) -> list[_Judged]:
        """In an order in which each comes after its auth events, its number above theirs."""
        creates = {one.event_id: one for one in known.values() if one.event.is_state and one.event.key == CREATE}
        judged: list[_Judged] = []
        for at, event in enumerate(await self._in_auth_order(new), 1):
            create = creates.get(create_id(event) or EventId(""))
            auth = [known[one] for one in event.auth_events if one in known]
            if len(auth) == len(event.auth_events) and all(one.room_nid == room_nid for one in auth):
                above = max((one.nid for one in auth), default=0)
                [nid] = await self._event_nids.take(1, above=above)
                stored = StoredEvent(nid, room_nid, event, flags=_flags(event, auth, create))
                known[event.event_id] = stored
                if event.is_state and event.key == CREATE:
                    creates[event.event_id] = stored
                judged.append(_Judged(stored, auth))
            if at % SLICE == 0:
                await self._give_way(len(new))
        return judged

    async def _give_way(self, count: int) -> None:
        if count > LARGE:
            # Else the collector of garbage goes through all that came with them.
            leave_alone()
        await self._clock.sleep(0)

    async def _write(
        self, judged: Sequence[_Judged], known: Mapping[EventId, StoredEvent]
    ) -> dict[EventId, StoredEvent]:
        keys = {one.stored.event.key for one in judged if one.stored.event.is_state}
        key_nids = await self._state_keys.nids(keys)
        rows = [
            EventRow(
                one.stored,
                key_nids[one.stored.event.key] if one.stored.event.is_state else None,
                [],
                # What another process has added meanwhile has another number than ours.
                [known.get(auth.event_id, auth).nid for auth in one.auth],
            )
            for one in judged
        ]
        found = await self._database.run(add_outliers, rows)
        ours = {one.stored.event_id: one.stored for one in judged if found[one.stored.event_id] == one.stored.nid}
        for stored in ours.values():
            self._events.remember(stored)
        if len(ours) == len(judged):
            return ours
        others = [one.stored.event_id for one in judged if one.stored.event_id not in ours]
        for event_id in others:
            self._events.expected.doubt(event_id)
        return ours | await self._events.by_id(others)


def _flags(event: Event, auth: Sequence[StoredEvent], create: StoredEvent | None) -> int:
    try:
        check_by_auth_events(event, auth, create)
    except AuthRuleFailed:
        return Flags.OUTLIER | Flags.REJECTED
    return Flags.OUTLIER
