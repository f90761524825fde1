"""The authorization rules of every room version: may this event be in the room?

Two questions, which intake asks in this order:

- `check_auth_events`: may the event have these `auth_events`? It needs no state, and holds for ever.
- `check`: is the event allowed by this state? It is asked up to three times, of the state that the auth events make
  (`state_of`), of the state before the event, and of the current state; and again by state resolution.

Both raise AuthRuleFailed with the number of the rule. Where the rules are silent:

- A value of the wrong type is the same as none, in what is judged by; in the event itself it is refused.
- That the signature of `join_authorised_via_users_server` is valid is the signature check's matter; here it must
  only be there.

Deviations from Synapse, which the rules do not ask for: it refuses in a room with `m.federate: false` every membership
whose target is of another server, and takes `m.federate` values other than true for false.

Source: specification, "Room Versions", "Authorisation rules" of each; server-server API, "Authorisation rules".
"""

from collections.abc import Container, Iterable

from matrix import auth_member, auth_power_levels
from matrix.auth_needs import CREATE, POWER_LEVELS, keys_of
from matrix.events import Event, StateKey, StateMap
from matrix.ids import EventId
from matrix.power_levels import PowerLevels
from matrix.room_versions import ROOM_VERSIONS
from matrix.rule_numbers import refusal
from matrix.user_ids import is_user_id


def check_auth_events(
    event: Event,
    auth_events: Iterable[Event],
    *,
    create_event: Event | None = None,
    rejected: Container[EventId] = frozenset(),
) -> None:
    """Refuse an event whose auth events are not as the rules want them. `auth_events` must be all that it names.

    `create_event` is the room's, needed from room version 12 on, where it is not among the auth events.
    `rejected` holds the ids of all the given events that were rejected.

    Raises: AuthRuleFailed.
    """
    if event.type == "m.room.create":
        _check_create(event)
        return
    if event.version.room_id_is_create_hash and not _is_accepted_create(event, create_event, rejected):
        raise refusal(event.version, "room_id", "the room id is not that of an accepted create event")
    _check_selection(event, auth_events, rejected)
    auth_member.check_authorising_signature(event)


def state_of(auth_events: Iterable[Event], create_event: Event | None = None) -> dict[StateKey, Event]:
    """The state that auth events make, to `check` an event by; `create_event` is needed from room version 12 on.

    The auth events must have passed `check_auth_events`: all are state.
    """
    state = {event.key: event for event in auth_events}
    if create_event is not None:
        state[CREATE] = create_event
    return state


def check(event: Event, state: StateMap) -> None:
    """Refuse an event that this state does not allow. The state needs no more than `auth_needs.state_keys`.

    Raises: AuthRuleFailed.
    """
    version = event.version
    if event.type == "m.room.create":
        _check_create(event)
        return
    create_event = state.get(CREATE)
    if create_event is None:
        rule = "room_id" if version.room_id_is_create_hash else "auth_events/no_create"
        raise refusal(version, rule, "the room has no create event")
    if create_event.content.get("m.federate") is False and event.origin != create_event.origin:
        raise refusal(version, "federate", "the room is closed to other servers")
    if event.type == "m.room.aliases" and version.aliases_have_auth_rule:
        _check_aliases(event)
        return
    levels = PowerLevels.of(version, create_event, state.get(POWER_LEVELS))
    if event.type == "m.room.member":
        auth_member.check(event, state, create_event, levels)
    else:
        _check_by_level(event, state, levels)


def _check_by_level(event: Event, state: StateMap, levels: PowerLevels) -> None:
    """The rules for all that is neither m.room.create, m.room.aliases nor m.room.member."""
    version, sender_level = event.version, levels.of_user(event.sender)
    if auth_member.membership(state, event.sender) != "join":
        raise refusal(version, "joined", "the sender is not in the room")
    if event.type == "m.room.third_party_invite":
        if sender_level < levels.invite:
            raise refusal(version, "third_party_invite/level", "the sender may not invite")
        return
    if sender_level < levels.for_event(event.type, event.is_state):
        raise refusal(version, "level", f"the sender may not send {event.type}")
    if event.state_key is not None and event.state_key.startswith("@") and event.state_key != event.sender:
        raise refusal(version, "state_key", "the state key is another user's")
    if event.type == "m.room.power_levels":
        auth_power_levels.check(event, state.get(POWER_LEVELS), levels)
    elif event.type == "m.room.redaction" and version.redaction_has_auth_rule:
        _check_redaction(event, sender_level, levels)


def _check_create(event: Event) -> None:
    version, content = event.version, event.content
    if event.prev_events:
        raise refusal(version, "create/prev_events", "the create event has previous events")
    _check_create_room_id(event)
    room_version = content.get("room_version", "1")
    if not isinstance(room_version, str) or room_version not in ROOM_VERSIONS:
        raise refusal(version, "create/room_version", "the room version is not known")
    if not version.creator_is_sender and "creator" not in content:
        raise refusal(version, "create/creator", "the create event names no creator")
    if version.creators_have_infinite_power and not _are_user_ids(content.get("additional_creators", [])):
        raise refusal(version, "create/additional_creators", "additional_creators is not a list of user ids")


def _check_create_room_id(event: Event) -> None:
    if event.version.room_id_is_create_hash:
        if "room_id" in event.pdu:
            raise refusal(event.version, "create/room_id", "the create event has a room id")
    elif event.room_id.domain != event.origin:
        raise refusal(event.version, "create/room_id", "the room id is of another server than the sender")


def _are_user_ids(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and is_user_id(name) for name in value)


def _is_accepted_create(event: Event, create_event: Event | None, rejected: Container[EventId]) -> bool:
    return (
        create_event is not None
        and create_event.type == "m.room.create"
        and create_event.state_key == ""
        and create_event.event_id[1:] == event.room_id[1:]
        and create_event.event_id not in rejected
    )


def _check_selection(event: Event, auth_events: Iterable[Event], rejected: Container[EventId]) -> None:
    version, expected, entries = event.version, keys_of(event), list(auth_events)
    keys = [(entry.type, entry.state_key) for entry in entries]
    if len(set(keys)) != len(keys):
        raise refusal(version, "auth_events/duplicate", "two auth events have the same type and state key")
    if any(key not in expected for key in keys):
        raise refusal(version, "auth_events/unexpected", "an auth event is of no use to the event")
    if any(entry.event_id in rejected for entry in entries):
        raise refusal(version, "auth_events/rejected", "an auth event was rejected")
    if not version.room_id_is_create_hash and CREATE not in keys:
        raise refusal(version, "auth_events/no_create", "the create event is not among the auth events")
    if any(entry.room_id != event.room_id for entry in entries):
        raise refusal(version, "auth_events/room_id", "an auth event is of another room")


def _check_aliases(event: Event) -> None:
    if event.state_key is None:
        raise refusal(event.version, "aliases/state_key", "m.room.aliases has no state key")
    if event.state_key != event.origin:
        raise refusal(event.version, "aliases/domain", "the state key is not the sender's server")


def _check_redaction(event: Event, sender_level: int, levels: PowerLevels) -> None:
    if sender_level >= levels.redact:
        return
    if event.redacts is None or _domain(event.redacts) != _domain(event.event_id):
        raise refusal(event.version, "redaction/otherwise", "the sender may not redact another server's event")


def _domain(event_id: EventId) -> str:
    return event_id.partition(":")[2]
