"""State resolution: from several states of a room, one. Versions 2 and 2.1; `state_res_v1` has version 1.

Theory of operation. Most of the state is the same in all the states and is taken as it is. What differs is the
conflicted state. To judge between its events we need the history of permission behind them: the auth difference (what
one state's auth chains have and another's have not) and, in 2.1, the conflicted state subgraph. Together they are the
full conflicted set, which is replayed in two parts, each event only if the authorization rules allow it by what has
been replayed so far:

1. Power events, with what they rest on, in an order that puts the more powerful sender first. So a ban wins over what
   the banned user did at the same time.
2. All others, in the order of the power levels that they were sent under.

Version 2 replays on top of the unconflicted state, 2.1 on top of nothing, taking what is missing from the auth events
(MSC4297). Last the unconflicted state overrides.

Loading: everything is looked up by `events`, which must know

- the auth chains of the conflicted events;
- of the unconflicted state the events that `unconflicted_needs` gives for the events of the full conflicted set, and
  the auth chain of its m.room.power_levels;
- from room version 12 on the create event;
- if `auth_difference` is not given, the auth chains of the unconflicted events too. Large rooms should compute it over
  integers, by `dag.auth_difference_smaller`.

Where the specification can be read in two ways this does as Synapse and ruma do, since a room whose servers resolve
differently falls apart: what a power event rests on is followed only through the full conflicted set; power events have
an empty state key, unless they are memberships; a create event in conflict counts as one. Where it cannot, this does as
it says: an event in conflict that was rejected is replayed like any other, which Synapse 1.163 does not do.

Source: specification, "Room Version 2" and "Room Version 12", "State resolution".
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

from attrs import field, frozen

from matrix import dag, state_res_v1
from matrix.auth_needs import CREATE, POWER_LEVELS, state_keys
from matrix.auth_rules import check
from matrix.conflicts import conflicts
from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateKey
from matrix.ids import EventId
from matrix.power_levels import PowerLevels
from matrix.room_versions import RoomVersion

EventIds = Mapping[StateKey, EventId]
Lookup = Callable[[EventId], Event]

_POWER_EVENTS = frozenset((POWER_LEVELS, ("m.room.join_rules", ""), CREATE))


def resolve(
    version: RoomVersion,
    state_sets: Sequence[EventIds],
    events: Lookup,
    *,
    rejected: Container[EventId] = frozenset(),
    auth_difference: Collection[EventId] | None = None,
) -> dict[StateKey, EventId]:
    """The one state of these states. `rejected` must hold all rejected events among the auth events.

    Raises: what `events` raises for an event that it does not know.
    """
    if version.state_resolution == "v1":
        return state_res_v1.resolve(state_sets, events)
    unconflicted, conflicted = conflicts(state_sets)
    if auth_difference is None:
        auth_difference = _auth_difference(unconflicted, conflicted, events)
    resolved = resolve_conflicts(
        version, unconflicted, conflicted, events, rejected=rejected, auth_difference=auth_difference
    )
    return {**unconflicted, **resolved}


def resolve_conflicts(
    version: RoomVersion,
    unconflicted: EventIds,
    conflicted: Sequence[EventIds],
    events: Lookup,
    *,
    auth_difference: Collection[EventId],
    rejected: Container[EventId] = frozenset(),
) -> dict[StateKey, EventId]:
    """What to add to the unconflicted state. That is only asked for single keys, never copied. Not for version 1."""
    state_set = {event_id for part in conflicted for event_id in part.values()}
    if not state_set and not auth_difference:
        return {}
    full = {*state_set, *auth_difference}
    if version.state_resolution == "v2.1":
        full |= dag.conflicted_subgraph(state_set, lambda event_id: events(event_id).auth_events)
    replay = _Replay(version, events, rejected, {} if version.state_resolution == "v2.1" else unconflicted)
    power_events = _power_events(full, events)
    replay.run(dag.topological_order(power_events, _PowerRank(version, events)))
    replay.run(_mainline_order(full - power_events.keys(), replay.find(POWER_LEVELS), events))
    return {key: event_id for key, event_id in replay.resolved.items() if key not in unconflicted}


def unconflicted_needs(unconflicted: EventIds, full_conflicted: Iterable[Event]) -> set[EventId]:
    """The events of the unconflicted state that replaying these events may look at."""
    keys = {key for event in full_conflicted for key in _needs(event)}
    return {unconflicted[key] for key in keys if key in unconflicted}


def _needs(event: Event) -> list[StateKey]:
    return state_keys(event.version, event.type, event.sender, event.state_key, event.content)


def _auth_difference(unconflicted: EventIds, conflicted: Sequence[EventIds], events: Lookup) -> set[EventId]:
    if not any(conflicted):
        return set()
    parts = [list(part.values()) for part in conflicted]
    return dag.auth_difference(parts, list(unconflicted.values()), lambda event_id: events(event_id).auth_events)


def _power_events(full: set[EventId], events: Lookup) -> dict[EventId, list[EventId]]:
    """The power events of the full conflicted set and what they rest on in it, each with its auth events among them."""
    graph: dict[EventId, list[EventId]] = {}
    stack = [event_id for event_id in full if _is_power_event(events(event_id))]
    while stack:
        event_id = stack.pop()
        if event_id not in graph:
            graph[event_id] = [auth for auth in events(event_id).auth_events if auth in full]
            stack += graph[event_id]
    return graph


def _is_power_event(event: Event) -> bool:
    if event.type == "m.room.member":
        return event.membership in ("leave", "ban") and event.sender != event.state_key
    return (event.type, event.state_key) in _POWER_EVENTS


@frozen
class _PowerRank:
    """The reverse topological power ordering's comparison: the more powerful, the earlier, the smaller id first."""

    version: RoomVersion
    events: Lookup

    def __call__(self, event_id: EventId) -> tuple[int, int, EventId]:
        event = self.events(event_id)
        auth = {entry.key: entry for entry in _auth_events(event, self.events)}
        levels = PowerLevels.of(self.version, auth.get(CREATE), auth.get(POWER_LEVELS))
        return -levels.of_user(event.sender), event.origin_server_ts, event_id


def _auth_events(event: Event, events: Lookup) -> list[Event]:
    """The event's auth events; with the create event, which room version 12 leaves out."""
    entries = [events(event_id) for event_id in event.auth_events]
    if event.version.room_id_is_create_hash and event.type != "m.room.create":
        entries.append(events(EventId("$" + event.room_id[1:])))
    return [entry for entry in entries if entry.is_state]


def _mainline_order(remaining: set[EventId], power_levels: EventId | None, events: Lookup) -> list[EventId]:
    def levels_of(event_id: EventId) -> EventId | None:
        for auth in events(event_id).auth_events:
            entry = events(auth)
            if entry.type == "m.room.power_levels" and entry.state_key == "":
                return auth
        return None

    mainline = dag.Mainline(power_levels, levels_of)
    return sorted(remaining, key=lambda one: (-mainline.position(one), events(one).origin_server_ts, one))


@frozen
class _Replay:
    """The iterative auth checks: a state that grows by the events that it allows."""

    version: RoomVersion
    events: Lookup
    rejected: Container[EventId]
    base: EventIds
    resolved: dict[StateKey, EventId] = field(factory=dict)

    def find(self, key: StateKey) -> EventId | None:
        return self.resolved.get(key) or self.base.get(key)

    def run(self, order: Iterable[EventId]) -> None:
        for event_id in order:
            event = self.events(event_id)
            if not event.is_state:
                continue
            try:
                check(event, self._state_for(event))
            except AuthRuleFailed:
                continue
            self.resolved[event.key] = event_id

    def _state_for(self, event: Event) -> dict[StateKey, Event]:
        """What the event is judged by: the state so far, and where it has nothing the event's own auth events."""
        auth_events = _auth_events(event, self.events)
        state = {entry.key: entry for entry in auth_events if entry.event_id not in self.rejected}
        for key in _needs(event):
            event_id = self.find(key)
            if event_id is not None:
                state[key] = self.events(event_id)
        return state
