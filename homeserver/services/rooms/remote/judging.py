"""The fourth check on receipt, which needs no state: what the auth events say. It holds for ever.

Source: server-server API, "Checks performed on receipt of a PDU", 4; "Authorisation rules".
"""

from collections.abc import Generator, Iterable, Mapping, Sequence

from matrix import auth_rules
from matrix.auth_needs import state_keys
from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateKey
from matrix.ids import EventId
from storage.events import Flags, StoredEvent

# Events that are put in order at once.
STEP = 300
NO_SUCH_EVENT = "an auth event is not there"


def check_by_auth_events(event: Event, auth: Sequence[StoredEvent], create: StoredEvent | None) -> None:
    """Refuse an event that its auth events do not allow. `auth`: all that it names, rejected ones too.

    `create` is the room's create event. Raises: AuthRuleFailed.
    """
    known = {stored.event_id for stored in auth}
    if any(event_id not in known for event_id in event.auth_events):
        raise AuthRuleFailed("auth_events", NO_SUCH_EVENT)
    rejected = {stored.event_id for stored in [*auth, *([create] if create else [])] if is_rejected(stored)}
    of_create = create.event if create is not None else None
    named = [stored.event for stored in auth]
    auth_rules.check_auth_events(event, named, create_event=of_create, rejected=rejected)
    by_id = event.version.room_id_is_create_hash
    auth_rules.check(event, auth_rules.state_of(named, of_create if by_id else None))


def check_by_state(event: Event, state: Mapping[StateKey, StoredEvent]) -> None:
    """Raises: AuthRuleFailed."""
    auth_rules.check(event, {key: stored.event for key, stored in state.items()})


def is_rejected(stored: StoredEvent) -> bool:
    return bool(stored.flags & Flags.REJECTED)


def is_outlier(stored: StoredEvent) -> bool:
    return bool(stored.flags & Flags.OUTLIER)


def keys_judging(event: Event) -> list[StateKey]:
    """The keys of the state that the event is judged by."""
    return state_keys(event.version, event.type, event.sender, event.state_key, event.content)


def create_id(event: Event) -> EventId | None:
    """The id of the room's create event, where the room id says it."""
    return EventId("$" + event.room_id[1:]) if event.version.room_id_is_create_hash else None


def in_auth_order(events: Iterable[Event]) -> Generator[None, None, list[Event]]:
    """Each after those of its auth events that are among them. What a ring of them rests on is left out.

    In steps of a millisecond, so that tens of thousands of events hold up nobody.
    """
    by_id = yield from _by_id(events)
    missing: dict[EventId, int] = {}
    named_by: dict[EventId, list[EventId]] = {}
    for at, event in enumerate(by_id.values(), 1):
        needs = {*event.auth_events}
        if (create := create_id(event)) is not None and event.event_id != create:
            needs.add(create)
        within = [one for one in needs if one in by_id]
        missing[event.event_id] = len(within)
        for one in within:
            named_by.setdefault(one, []).append(event.event_id)
        if at % STEP == 0:
            yield
    ready = [event_id for event_id, count in missing.items() if not count]
    ordered: list[Event] = []
    while ready:
        event_id = ready.pop()
        ordered.append(by_id[event_id])
        for child in named_by.get(event_id, ()):
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
        if len(ordered) % STEP == 0:
            yield
    return ordered


def _by_id(events: Iterable[Event]) -> Generator[None, None, dict[EventId, Event]]:
    found: dict[EventId, Event] = {}
    for at, event in enumerate(events, 1):
        found[event.event_id] = event
        if at % STEP == 0:
            yield
    return found
