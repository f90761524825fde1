"""What a room's upgrade makes of its state: pure.

Source: client-server API, "Room Upgrades", "Server behaviour"; what it leaves open is as Synapse does it.
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from homeserver.services.rooms.first_events import reserve_upgrades
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, UserId
from matrix.power_levels import PowerLevels, parse_level
from matrix.room_versions import RoomVersion

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
CANONICAL_ALIAS: StateKey = ("m.room.canonical_alias", "")
_COPIED = frozenset(
    (name, "")
    for name in (
        "m.room.server_acl",
        "m.room.encryption",
        "m.room.name",
        "m.room.avatar",
        "m.room.topic",
        "m.room.guest_access",
        "m.room.history_visibility",
        "m.room.join_rules",
    )
)
# These make a space, and say which spaces the room is in; what has no content was taken out again.
_SPACE = frozenset(("m.space.child", "m.space.parent"))
_PROPERTIES = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")
_MAPS = ("events", "users", "notifications")


def is_copied(key: StateKey) -> bool:
    return key in _COPIED or key[0] in _SPACE


def copied_state(state: Mapping[StateKey, Event]) -> dict[StateKey, Json]:
    return {key: event.content for key, event in state.items() if is_copied(key) and _counts(key, event.content)}


def _counts(key: StateKey, content: Json) -> bool:
    return key[0] not in _SPACE or bool(content.get("via"))


def creation_content(
    old: Event, version: RoomVersion, additional_creators: Sequence[UserId], tombstone: EventId | None
) -> Json:
    """`tombstone` is None where it cannot be known before the room: from room version 12 on."""
    predecessor: Json = {"room_id": old.room_id}
    if tombstone is not None:
        predecessor["event_id"] = tombstone
    content: Json = {"predecessor": predecessor}
    if old.content.get("m.federate") is False:
        content["m.federate"] = False
    if "type" in old.content:
        content["type"] = old.content["type"]
    if additional_creators and version.creators_have_infinite_power:
        content["additional_creators"] = list(additional_creators)
    return content


@frozen
class NewLevels:
    """`first` lets the upgrading user set everything up; `last` is what stays, if it is not the same."""

    first: Json
    last: Json | None


def new_levels(
    old_version: RoomVersion, old: Json | None, version: RoomVersion, creators: Sequence[UserId]
) -> NewLevels:
    """The new room's power levels. `creators`: the upgrading user first, then the additional ones."""
    levels = _as_integers(old_version, old or {})
    users = {str(user): level for user, level in levels.get("users", {}).items()}
    upgrader = str(creators[0])
    if version.creators_have_infinite_power:
        levels["users"] = {user: level for user, level in users.items() if user not in creators}
        reserve_upgrades(levels)
        return NewLevels(levels, None)
    if old is None or old_version.creators_have_infinite_power:
        # Their power was in no event: it has to be said now.
        users[upgrader] = max(100, users.get(upgrader, 0))
    levels["users"] = users
    needed = max(levels.get("state_default", 50), levels.get("ban", 50), *levels.get("events", {}).values(), 0)
    if users.get(upgrader, levels.get("users_default", 0)) >= needed:
        return NewLevels(levels, None)
    return NewLevels({**levels, "users": {**users, upgrader: needed}}, levels)


def _as_integers(version: RoomVersion, content: Json) -> Json:
    """The levels as every room version takes them; what was none is left out."""
    levels: Json = {
        name: level for name in _PROPERTIES if (level := parse_level(version, content.get(name))) is not None
    }
    for name in _MAPS:
        entries = content.get(name)
        if isinstance(entries, dict):
            parsed = {key: parse_level(version, value) for key, value in entries.items()}
            levels[name] = {key: level for key, level in parsed.items() if level is not None}
    return levels


def closed_levels(version: RoomVersion, old: Event | None, create: Event) -> Json | None:
    """The old room's levels so that ordinary users neither speak nor invite; None if that is so already."""
    if old is None:
        return None
    levels = PowerLevels.of(version, create, old)
    closed = max(50, levels.users_default + 1)
    raised = {
        name: closed
        for name, level in (("invite", levels.invite), ("events_default", levels.events_default))
        if level < closed
    }
    return {**old.content, **raised} if raised else None


@frozen
class MovedAliases:
    """Contents of m.room.canonical_alias; None for an event that is not needed."""

    old: Json | None
    new: Json | None


def move_aliases(content: Json | None, server_name: str) -> MovedAliases:
    """Our aliases lead to the new room; other servers' stay with the old."""
    if content is None:
        return MovedAliases(None, None)
    alias, alternatives = content.get("alias"), content.get("alt_aliases")
    names = alternatives if isinstance(alternatives, list) else []
    ours = [name for name in _texts(names) if _is_of(name, server_name)]
    others = [name for name in names if name not in ours]
    new: Json = {}
    old = {key: value for key, value in content.items() if key not in ("alias", "alt_aliases")}
    if isinstance(alias, str) and _is_of(alias, server_name):
        new["alias"] = alias
    elif alias is not None:
        old["alias"] = alias
    if ours:
        new["alt_aliases"] = ours
    if others:
        old["alt_aliases"] = others
    return MovedAliases(old, new) if new else MovedAliases(None, None)


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _is_of(alias: str, server_name: str) -> bool:
    return alias.partition(":")[2] == server_name


def tombstone(new_room: RoomId) -> Json:
    return {"body": "This room has been replaced", "replacement_room": new_room}
