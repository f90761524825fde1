"""State resolution over numbers: of several states of a room, each as what differs from its head, the one.

Only what is in conflict is loaded: the auth chains of those events, and of what all the states have the few that the
rules ask for. A large resolution is worked out on a thread.

Source: specification, "Room Version 2" and "Room Version 12", "State resolution".
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from attrs import frozen

from homeserver.runtime.metrics import Metrics
from homeserver.services.rooms.remote.judging import is_rejected, keys_judging
from matrix import dag, state_res
from matrix.auth_needs import CREATE, POWER_LEVELS
from matrix.conflicts import conflicts_over_base
from matrix.events import Event, StateKey
from matrix.ids import EventId
from matrix.room_versions import RoomVersion
from storage.auth_chains import AuthGraph, auth_graph
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.overlays import Changes
from storage.state import ABSENT

T = TypeVar("T")
State = Mapping[StateKey, int]

# A replayed event costs some 20 us: more than this are replayed on a thread.
FEW = 150


class OnThread(Protocol):
    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


class Resolution:
    def __init__(self, *, database: Database, events: Events, on_thread: OnThread, metrics: Metrics) -> None:
        self._database = database
        self._events = events
        self._on_thread = on_thread
        self._count = metrics.counter("state_resolutions", "State resolutions in which something was in conflict")
        self._seconds = metrics.histogram("state_resolution_seconds", "How long they take, all loading included")

    async def resolve(
        self, version: RoomVersion, base: State, states: Sequence[Changes], new: AuthGraph | None = None
    ) -> dict[StateKey, int]:
        """What the one state of these states has in place of `base`; each of them is what it has in place of it.

        `new`: the auth events of events that are not stored yet; these are in memory.
        """
        different = list({frozenset(_normal(base, changes).items()): changes for changes in states}.values())
        if len(different) == 1:
            return _normal(base, different[0])
        absent_is_none = [{key: nid or None for key, nid in changes.items()} for changes in different]
        unconflicted, lacking, conflicted = conflicts_over_base(base, absent_is_none)
        resolved: Mapping[StateKey, int] = {}
        if any(conflicted):
            self._count.inc()
            rest = _Unconflicted(base, unconflicted, lacking)
            with self._seconds.time():
                resolved = await self._resolve_conflicts(version, rest, conflicted, new or {})
        changes = {**dict.fromkeys(lacking, ABSENT), **unconflicted, **resolved}
        return _normal(base, changes)

    async def _resolve_conflicts(
        self,
        version: RoomVersion,
        rest: "_Unconflicted",
        conflicted: Sequence[Mapping[StateKey, int]],
        new: AuthGraph,
    ) -> dict[StateKey, int]:
        nids = {nid for part in conflicted for nid in part.values()}
        if version.state_resolution == "v1":
            return await self._resolve_v1(rest, conflicted)
        stored = {nid for nid in [*nids, *(auth for auths in new.values() for auth in auths)] if nid not in new}
        graph = await self._database.run(auth_graph, stored) | new
        difference = await self._difference([part.values() for part in conflicted], rest, graph)
        known = await self._events.get(graph)
        full = [known[nid].event for nid in {*nids, *difference} if nid in known]
        known |= await self._needed(rest, full)
        events = {stored.event_id: stored.event for stored in known.values()}
        rejected = {stored.event_id for stored in known.values() if is_rejected(stored)}

        def work() -> dict[StateKey, EventId]:
            return state_res.resolve_conflicts(
                version,
                _ByEventId(rest, known),
                [{key: known[nid].event_id for key, nid in part.items()} for part in conflicted],
                events.__getitem__,
                auth_difference={known[nid].event_id for nid in difference},
                rejected=rejected,
            )

        found = work() if len(events) <= FEW else await self._on_thread(work)
        return _numbers(found, known.values())

    async def _difference(
        self, parts: Sequence[Collection[int]], rest: "_Unconflicted", graph: AuthGraph
    ) -> Collection[int]:
        """The auth difference: what rests in one state and not in all. As in `dag.auth_difference`."""
        chains = [dag.auth_chain(part, lambda nid: graph.get(nid, ())) for part in parts]
        difference = chains[0].union(*chains) - chains[0].intersection(*chains)
        shared = rest.numbers()
        difference -= shared
        if not difference:
            return difference
        lowest = min(difference)
        above = await self._database.run(auth_graph, [nid for nid in shared if nid > lowest], above=lowest - 1)
        return difference.difference(above)

    async def _needed(self, rest: "_Unconflicted", full: Sequence[Event]) -> dict[int, StoredEvent]:
        """What replaying these events may look at of the unconflicted state."""
        as_ids = cast(Mapping[StateKey, EventId], rest)
        nids = cast(set[int], state_res.unconflicted_needs(as_ids, full))
        nids.update(rest[key] for key in (CREATE, POWER_LEVELS) if key in rest)
        levels = [rest[POWER_LEVELS]] if POWER_LEVELS in rest else []
        chain = await self._database.run(auth_graph, levels)
        return await self._events.get({*nids, *chain})

    async def _resolve_v1(
        self, rest: "_Unconflicted", conflicted: Sequence[Mapping[StateKey, int]]
    ) -> dict[StateKey, int]:
        """In version 1 a key that only some states have is in no conflict; and it needs no auth chains."""
        conflicting = await self._events.get({nid for part in conflicted for nid in part.values()})
        known = conflicting | await self._needed(rest, [stored.event for stored in conflicting.values()])
        events = {stored.event_id: stored.event for stored in known.values()}
        wanted = _ByEventId(rest, known)
        keys = {key for stored in conflicting.values() for key in keys_judging(stored.event)}
        shared = {key: wanted[key] for key in keys if key in rest}
        sets = [{**shared, **{key: known[nid].event_id for key, nid in part.items()}} for part in conflicted]

        def work() -> dict[StateKey, EventId]:
            return state_res.resolve(next(iter(events.values())).version, sets, events.__getitem__)

        found = work() if len(events) <= FEW else await self._on_thread(work)
        return _numbers({key: event_id for key, event_id in found.items() if key not in rest}, known.values())


class _Unconflicted(Mapping[StateKey, int]):
    """What all the states have: `base` with changes, not copied."""

    def __init__(self, base: State, changed: State, lacking: Collection[StateKey]) -> None:
        self._base = base
        self._changed = changed
        self._lacking = lacking

    def __getitem__(self, key: StateKey) -> int:
        if key in self._changed:
            return self._changed[key]
        if key in self._lacking:
            raise KeyError(key)
        return self._base[key]

    def __iter__(self) -> Iterator[StateKey]:
        yield from self._changed
        yield from (key for key in self._base if key not in self._changed and key not in self._lacking)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def numbers(self) -> set[int]:
        """Of a large state in a millisecond."""
        found = set(self._base.values())
        found.difference_update(self._base[key] for key in [*self._changed, *self._lacking] if key in self._base)
        found.update(self._changed.values())
        return found


@frozen
class _ByEventId(Mapping[StateKey, EventId]):
    """As event ids, of the events that are known."""

    numbers: Mapping[StateKey, int]
    known: Mapping[int, StoredEvent]

    def __getitem__(self, key: StateKey) -> EventId:
        return self.known[self.numbers[key]].event_id

    def __contains__(self, key: object) -> bool:
        return key in self.numbers

    def __iter__(self) -> Iterator[StateKey]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def _normal(base: State, changes: Changes) -> dict[StateKey, int]:
    """Without what changes nothing."""
    return {key: nid for key, nid in changes.items() if base.get(key, ABSENT) != nid}


def _numbers(found: Mapping[StateKey, EventId], known: Collection[StoredEvent]) -> dict[StateKey, int]:
    nids = {stored.event_id: stored.nid for stored in known}
    return {key: nids[event_id] for key, event_id in found.items()}
