"""The state of a room before and after events anywhere in its graph.

Theory of operation. Where the graph is linear, the room's intervals say it. Elsewhere the state before an event is the
resolution of the states after its previous events, and is kept with it as a delta. All states are handled as what
differs from the room's head, which is in memory: a fork costs what differs, not what the room holds.

Source: server-server API, "Calculating state" (Room state resolution).
"""

from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.remote.resolution import Resolution
from matrix.errors import NotFound
from matrix.events import StateKey
from matrix.ids import EventId, RoomId
from storage import history
from storage.auth_chains import AuthGraph
from storage.change import Change
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.overlays import Changes, Graph, apply, load_graph
from storage.state import ABSENT


@frozen
class Settled:
    """A head whose whole past is committed, and its position."""

    head: Head
    position: int


class StateBefore:
    def __init__(
        self,
        *,
        heads: Heads,
        events: Events,
        database: Database,
        committer: Committer,
        resolution: Resolution,
        clock: Clock,
    ) -> None:
        self._heads = heads
        self._events = events
        self._database = database
        self._committer = committer
        self._resolution = resolution
        self._clock = clock

    async def of_event(self, stored: StoredEvent) -> dict[StateKey, int]:
        """The whole state before an event. Raises: NotFound, of one whose place is not known."""
        found = await self._database.run(history.state_before, stored.nid)
        if not found and stored.event.type != "m.room.create":
            raise NotFound("The state before that event is not known")
        return found

    async def after_events(self, room_id: RoomId, event_ids: Collection[EventId]) -> dict[StateKey, int]:
        """The whole state that these events together make. Raises: NotFound."""
        async with self._heads.linearizer.of(room_id):
            settled = await self.settled(room_id)
            found = await self._events.by_id(event_ids)
            graph = await self.graph(settled, [stored.nid for stored in found.values()])
            if len(graph.standings) < len(set(event_ids)):
                raise NotFound("The state after these events is not known")
            base = dict(settled.head.state)
        changes = await self.resolve(settled.head, base, [graph.after(nid) for nid in graph.standings])
        return overlaid(base, changes)

    async def settled(self, room_id: RoomId) -> Settled:
        """The room's head once all that it stands on is committed. The caller holds the room's lock."""
        while True:
            head = await self._heads.get(room_id)
            if isinstance(head.after, int):
                return Settled(head, head.after)
            # Changes are committed in their order: with this one those before it are done.
            await self._committer(Change())
            position = head.after if isinstance(head.after, int) else head.after.position_in(head.room_nid)
            if position > 0 and self._heads.known(head.room_nid) is head:
                return Settled(head, position)
            # It was refused: the one who made it is about to hear of it, and drops the head.
            await self._clock.sleep(0)

    async def graph(self, settled: Settled, nids: Collection[int]) -> Graph:
        """Where events stand, against the head."""
        return await self._database.run(load_graph, settled.head.room_nid, nids, settled.position)

    async def resolve(
        self, head: Head, base: Mapping[StateKey, int], states: Iterable[Changes], new: AuthGraph | None = None
    ) -> dict[StateKey, int]:
        """What the one state of these has in place of `base`. `new`: as in `Resolution.resolve`."""
        return await self._resolution.resolve(head.version, base, list(states), new)

    async def events_of(
        self, base: Mapping[StateKey, int], changes: Changes, keys: Iterable[StateKey]
    ) -> dict[StateKey, StoredEvent]:
        """The events of those keys that are there in the state that is `base` but for the changes."""
        nids = {key: nid for key in keys if (nid := apply(base, changes, key)) != ABSENT}
        found = await self._events.get(nids.values())
        return {key: found[nid] for key, nid in nids.items() if nid in found}


def difference(base: Mapping[StateKey, int], state: Mapping[StateKey, int]) -> dict[StateKey, int]:
    """What `state` has in place of `base`."""
    changes = {key: nid for key, nid in state.items() if base.get(key) != nid}
    changes.update((key, ABSENT) for key in base if key not in state)
    return changes


def overlaid(base: Mapping[StateKey, int], changes: Changes) -> dict[StateKey, int]:
    """The whole state."""
    state = {**base, **changes}
    for key in [key for key, nid in changes.items() if nid == ABSENT]:
        del state[key]
    return state


def smallest_delta(base: Mapping[StateKey, int], changes: Changes, bases: Mapping[int, Changes]) -> tuple[int, Changes]:
    """The base on which the state takes the least to say, and that. `bases`: what each has in place of `base`."""

    def against(of_base: Changes) -> Changes:
        keys = changes.keys() | of_base.keys()
        wanted = {key: apply(base, changes, key) for key in keys}
        return {key: nid for key, nid in wanted.items() if apply(base, of_base, key) != nid}

    deltas = {position: against(of_base) for position, of_base in bases.items()}
    position = min(deltas, key=lambda one: (len(deltas[one]), -one))
    return position, deltas[position]
