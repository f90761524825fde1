"""What of a room will be told: its timeline, and the state that goes with it, as numbers. Nothing is loaded here.

State is what the client must know before the timeline: the state of the head with the timeline's own changes undone,
or, for a client that has the state at `since`, what changed outside the timeline. With `use_state_after` it is what
the client must know after the timeline.

Source: client-server API, "Syncing", "Lazy-loading room members"; GET /sync, `state_after`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from homeserver.services.sync.moved import RoomMoved
from homeserver.services.sync.request import Window
from matrix.events import StateKey
from matrix.filters import EventFilter
from storage.events import StoredEvent
from storage.memberships import Membership

MEMBER = "m.room.member"


@define(eq=False)
class Plan:
    """`state` is the numbers of the state events by key.

    `whole`: the client knows nothing of the room yet. `memberships`: the reader's own at events of the timeline, by
    number, where it was not "join". `summary`: {} if it has not changed, or nobody asked for it.
    """

    room_nid: int
    room_id: str
    membership: Membership
    moved: RoomMoved
    timeline: list[StoredEvent] = field(factory=list)
    limited: bool = False
    whole: bool = False
    state: dict[StateKey, int] = field(factory=dict)
    memberships: Mapping[int, str] = field(factory=dict)
    summary: dict[str, Any] = field(factory=dict)


def choose_timeline(plan: Plan, events: Sequence[StoredEvent], window: Window, *, has_gap: bool) -> None:
    """The newest of the events that pass the filter, as many as it wants."""
    wanted = window.request.filter.room.timeline
    passing = [stored for stored in events if is_wanted(stored, wanted, window)]
    limit = window.request.filter.timeline_limit
    plan.timeline = passing[-limit:] if limit else []
    plan.limited = has_gap or len(passing) > limit


def unbroken(events: Sequence[StoredEvent], visible: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The newest of the events between which none is hidden from the reader.

    A timeline never spans what is hidden: the state before it, and what it makes of that, would not add up.
    """
    if len(visible) == len(events):
        return list(events)
    seen = {stored.nid for stored in visible}
    first = next((index for index in range(len(events), 0, -1) if events[index - 1].nid not in seen), 0)
    return list(events[first:])


def lost(events: Sequence[StoredEvent], state: Mapping[StateKey, int]) -> dict[StateKey, int]:
    """The newest state events that are not in the state at the end of the events."""
    return {key: nid for key, nid in newest_state(events).items() if state.get(key) != nid}


def after_void(
    events: Sequence[StoredEvent], state: Mapping[StateKey, int], members: Mapping[int, StoredEvent]
) -> list[StoredEvent]:
    """The events after the last that left a key other than it is in the state at their end.

    A client takes each state event of a timeline for the state from there on; it hears nothing when state resolution
    takes it back. Of a member whose name alone is another this is the lesser harm, next to messages that are not seen.
    `members`: the member events of the state beside which others have lost.
    """
    void = lost(events, state)
    by_nid = {stored.nid: stored for stored in events}
    for key, nid in list(void.items()):
        now = members.get(state.get(key, 0))
        if now is not None and now.event.membership == by_nid[nid].event.membership:
            del void[key]
    nids = set(void.values())
    last = [index for index, stored in enumerate(events) if stored.nid in nids]
    return list(events[last[-1] + 1 :]) if last else list(events)


def is_wanted(stored: StoredEvent, wanted: EventFilter, window: Window) -> bool:
    """Source: "Ignoring users", "Server behaviour": state events of ignored users are told all the same."""
    event = stored.event
    if event.sender in window.ignored and not event.is_state:
        return False
    return wanted.is_empty or wanted.allows(event.type, event.sender, event.room_id, event.content)


def undo(state: dict[StateKey, int], timeline: Iterable[StoredEvent]) -> None:
    """Makes of the state after the timeline the state before it."""
    for stored in reversed(list(timeline)):
        if stored.event.is_state and state.get(stored.event.key) == stored.nid:
            if not stored.replaces:
                del state[stored.event.key]
            else:
                state[stored.event.key] = stored.replaces


def changed_outside(events: Iterable[StoredEvent], timeline: Iterable[StoredEvent]) -> dict[StateKey, int]:
    """The newest state of the events that are not told in the timeline."""
    told = {stored.nid for stored in timeline}
    return {stored.event.key: stored.nid for stored in events if stored.event.is_state and stored.nid not in told}


def newest_state(events: Iterable[StoredEvent]) -> dict[StateKey, int]:
    """The newest event of each key."""
    return {stored.event.key: stored.nid for stored in events if stored.event.is_state}
