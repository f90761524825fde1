"""Power levels of a room: who may do what, with the defaults of the room version.

A `PowerLevels` is a view on the content of the two events: making one parses seven numbers and copies nothing, so that
it can be made for every check. Levels of users and event types are parsed when they are asked for.

Values that are no level are read as absent; `auth_rules` lets no event with such values into a room, but rooms older
than that rule have them.

Source: client-server API, "m.room.power_levels"; room versions 1 ("accept values as strings", "as floats"), 10 and 12.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Self

from attrs import field, frozen

from matrix.events import Event
from matrix.room_versions import RoomVersion

# A room creator's level from room version 12 on, "infinitely high": above all that canonical JSON can write.
CREATOR_LEVEL = 1 << 62
# The creator's level in a room without m.room.power_levels, before room version 12.
_CREATOR_DEFAULT = 100

_DEFAULTS = {"ban": 50, "kick": 50, "redact": 50, "invite": 0, "users_default": 0, "events_default": 0}
_STATE_DEFAULT = 50
_NOTIFICATION_DEFAULT = 50

# int() would also take "1_000" and other alphabets, and refuses more than 4,300 digits only since Python 3.11.
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,300}\s*")

_NOTHING: Mapping[str, Any] = {}


def parse_level(version: RoomVersion, value: Any) -> int | None:
    """The level that a value of the event stands for, or None if the room version takes it for none."""
    if type(value) is int:
        return value
    if version.integer_power_levels_only:
        return None
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value) else None
    if type(value) is float and not version.strict_canonical_json and isfinite(value):
        return int(value)
    return None


def creators(version: RoomVersion, create_event: Event | None) -> frozenset[str]:
    """The users who created the room: one before room version 12. Empty if the event names nobody, or is not there."""
    if create_event is None:
        return frozenset()
    if not version.creator_is_sender:
        creator = create_event.content.get("creator")
        return frozenset((creator,)) if isinstance(creator, str) else frozenset()
    if not version.creators_have_infinite_power:
        return frozenset((create_event.sender,))
    more = create_event.content.get("additional_creators")
    names = (name for name in more if isinstance(name, str)) if isinstance(more, list) else ()
    return frozenset((create_event.sender, *names))


@frozen(slots=True)
class PowerLevels:
    """The levels in force. Made by `of`; may be kept by the two events' ids."""

    ban: int
    kick: int
    redact: int
    invite: int
    users_default: int
    events_default: int
    state_default: int
    creators: frozenset[str]
    creator_level: int | None  # None: the creators have what m.room.power_levels says
    _version: RoomVersion = field(repr=False)
    _users: Mapping[str, Any] = field(repr=False)
    _events: Mapping[str, Any] = field(repr=False)
    _notifications: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, version: RoomVersion, create_event: Event | None, power_levels_event: Event | None) -> Self:
        """The levels of a room with these two events in its state.

        Every room has a create event; None is for auth events that lack it, which state resolution may meet.
        """
        content = _NOTHING if power_levels_event is None else power_levels_event.content

        def level(name: str, default: int) -> int:
            parsed = parse_level(version, content.get(name))
            return default if parsed is None else parsed

        return cls(
            **{name: level(name, default) for name, default in _DEFAULTS.items()},
            state_default=level("state_default", _STATE_DEFAULT),
            creators=creators(version, create_event),
            creator_level=_creator_level(version, power_levels_event),
            version=version,
            users=_object(content, "users"),
            events=_object(content, "events"),
            notifications=_object(content, "notifications"),
        )

    def of_user(self, user_id: str) -> int:
        """The user's level, whether a member or not."""
        if self.creator_level is not None and user_id in self.creators:
            return self.creator_level
        return self._level(self._users, user_id, self.users_default)

    def for_event(self, event_type: str, is_state: bool) -> int:
        """The level required to send an event of this type. Membership is judged by ban, kick and invite instead."""
        return self._level(self._events, event_type, self.state_default if is_state else self.events_default)

    def notification(self, key: str) -> int:
        """The level required to notify by this key; "room" is for @room."""
        return self._level(self._notifications, key, _NOTIFICATION_DEFAULT)

    def _level(self, levels: Mapping[str, Any], key: str, default: int) -> int:
        value = levels.get(key)
        if value is None:
            return default
        parsed = parse_level(self._version, value)
        return default if parsed is None else parsed


def _creator_level(version: RoomVersion, power_levels_event: Event | None) -> int | None:
    if version.creators_have_infinite_power:
        return CREATOR_LEVEL
    return _CREATOR_DEFAULT if power_levels_event is None else None


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else _NOTHING
