"""Power levels of a room: who may do what, with the defaults of the room version.

A `PowerLevels` is a view on the content of the two events: making one copies and parses nothing, so that it can be made
for every check. A level is parsed when it is asked for.

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

# int() would also take "1_000" and other alphabets, and refuses more than 4,300 digits only since Python 3.11.
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,300}\s*")

_NOTHING: Mapping[str, Any] = {}
_NOBODY: frozenset[str] = frozenset()


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

    creators: frozenset[str]  # empty where they have only what m.room.power_levels says: `creator_level` is None
    creator_level: int | None
    _version: RoomVersion = field(repr=False)
    _content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, version: RoomVersion, create_event: Event | None, power_levels_event: Event | None) -> Self:
        """The levels of a room with these two events in its state.

        Every room has a create event; None is for auth events that lack it, which state resolution may meet.
        """
        content = _NOTHING if power_levels_event is None else power_levels_event.content
        level = _creator_level(version, power_levels_event)
        return cls(_NOBODY if level is None else creators(version, create_event), level, version, content)

    @property
    def ban(self) -> int:
        return self._level(self._content, "ban", 50)

    @property
    def kick(self) -> int:
        return self._level(self._content, "kick", 50)

    @property
    def redact(self) -> int:
        return self._level(self._content, "redact", 50)

    @property
    def invite(self) -> int:
        return self._level(self._content, "invite", 0)

    @property
    def users_default(self) -> int:
        return self._level(self._content, "users_default", 0)

    @property
    def events_default(self) -> int:
        return self._level(self._content, "events_default", 0)

    @property
    def state_default(self) -> int:
        return self._level(self._content, "state_default", 50)

    def of_user(self, user_id: str) -> int:
        """The user's level, whether a member or not."""
        if self.creator_level is not None and user_id in self.creators:
            return self.creator_level
        return self._entry("users", user_id, "users_default", 0)

    def for_event(self, event_type: str, is_state: bool) -> int:
        """The level required to send an event of this type. Membership is judged by ban, kick and invite instead."""
        default, otherwise = ("state_default", 50) if is_state else ("events_default", 0)
        return self._entry("events", event_type, default, otherwise)

    def notification(self, key: str) -> int:
        """The level required to notify by this key; "room" is for @room."""
        notifications = self._content.get("notifications")
        return self._level(notifications, key, 50) if isinstance(notifications, dict) else 50

    def _entry(self, name: str, key: str, default: str, otherwise: int) -> int:
        entries = self._content.get(name)
        if isinstance(entries, dict) and key in entries:
            parsed = parse_level(self._version, entries[key])
            if parsed is not None:
                return parsed
        return self._level(self._content, default, otherwise)

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
