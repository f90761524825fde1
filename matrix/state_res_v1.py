"""State resolution of room version 1.

It is known to reset rooms to older states; it is here for the rooms that have it. Where the specification is silent
this does as Synapse: the keys of one pass are resolved independently of each other, and if no event of a key passes,
the one of the least depth is taken.

Source: specification, "Room Version 1", "State resolution".
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

from matrix.auth_needs import state_keys
from matrix.auth_rules import check
from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateKey, StateMap
from matrix.ids import EventId

EventIds = Mapping[StateKey, EventId]
Lookup = Callable[[EventId], Event]

# In this order, each judged by what the ones before have come to.
_AUTH_PASSES = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve(state_sets: Sequence[EventIds], events: Lookup) -> dict[StateKey, EventId]:
    """The one state of these states. `events` is asked for the events in conflict and for all unconflicted state.

    Other than in version 2, a key that only some of the states have is not in conflict.
    """
    candidates: dict[StateKey, set[EventId]] = {}
    for state_set in state_sets:
        for key, event_id in state_set.items():
            candidates.setdefault(key, set()).add(event_id)
    resolved = {key: next(iter(ids)) for key, ids in candidates.items() if len(ids) == 1}
    conflicted = {
        key: sorted((events(event_id) for event_id in ids), key=_order)
        for key, ids in candidates.items()
        if len(ids) > 1
    }
    for event_type in _AUTH_PASSES:
        keys = [key for key in conflicted if key[0] == event_type]
        resolved |= {key: _last_allowed(conflicted.pop(key), resolved, events).event_id for key in keys}
    return resolved | {key: _highest_allowed(ordered, resolved, events).event_id for key, ordered in conflicted.items()}


def _order(event: Event) -> tuple[int, int]:
    """Ascending depth, then descending SHA-1 of the event id."""
    digest = hashlib.sha1(event.event_id.encode(), usedforsecurity=False).digest()
    return event.depth, -int.from_bytes(digest)


def _last_allowed(ordered: Sequence[Event], resolved: EventIds, events: Lookup) -> Event:
    """Of events that decide about permission: the last that each of them before it allowed."""
    last = ordered[0]
    for event in ordered[1:]:
        if not _is_allowed(event, _state_for(event, resolved, events) | {last.key: last}):
            break
        last = event
    return last


def _highest_allowed(ordered: Sequence[Event], resolved: EventIds, events: Lookup) -> Event:
    allowed = (event for event in reversed(ordered) if _is_allowed(event, _state_for(event, resolved, events)))
    return next(allowed, ordered[0])


def _state_for(event: Event, resolved: EventIds, events: Lookup) -> dict[StateKey, Event]:
    keys = state_keys(event.version, event.type, event.sender, event.state_key, event.content)
    return {key: events(resolved[key]) for key in keys if key in resolved}


def _is_allowed(event: Event, state: StateMap) -> bool:
    try:
        check(event, state)
    except AuthRuleFailed:
        return False
    return True
