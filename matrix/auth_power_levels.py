"""The authorization rules for changes of m.room.power_levels.

Before room version 10 the rules look only at `users` for values that are no level. Such a value elsewhere is refused
here too, by the rule that compares it, since there is nothing to compare.

Source: specification, "Room Versions", "Authorisation rules", on `m.room.power_levels`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from matrix.events import Event
from matrix.power_levels import PowerLevels, parse_level
from matrix.room_versions import RoomVersion
from matrix.rule_numbers import refusal
from matrix.user_ids import is_user_id

_PROPERTIES = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")

Levels = Mapping[str, int | None]
Change = tuple[str, int | None, int | None]  # name, old level, new level; None where there is none


def check(event: Event, previous: Event | None, levels: PowerLevels) -> None:
    """Refuse a change that its sender may not make. `levels` are those in force, `previous` the event that set them.

    Raises: AuthRuleFailed.
    """
    version, content = event.version, event.content
    new_properties = _new_properties(version, content)
    new_entries = {name: _new_entries(version, content, name) for name in _limited_maps(version)}
    new_users = _new_users(version, content)
    if version.creators_have_infinite_power and not levels.creators.isdisjoint(new_users):
        raise refusal(version, "power_levels/creators", "a creator's level cannot be set")
    if previous is None:
        return
    own_level = levels.of_user(event.sender)
    old = previous.content
    _check_properties(version, _changes(_old_properties(version, old), new_properties), own_level)
    for name in _limited_maps(version):
        _check_entries(version, _changes(_old_levels(version, old, name), new_entries[name]), own_level)
    _check_users(event, _changes(_old_levels(version, old, "users"), new_users), own_level)


def _limited_maps(version: RoomVersion) -> tuple[str, ...]:
    """The properties whose entries the rules look at, besides `users`."""
    return ("events", "notifications") if version.notification_levels_have_auth_rule else ("events",)


def _new_properties(version: RoomVersion, content: Mapping[str, Any]) -> Levels:
    levels = {name: parse_level(version, content[name]) for name in _PROPERTIES if name in content}
    for name, level in levels.items():
        if level is None:
            rule = "power_levels/integers" if version.integer_power_levels_only else "power_levels/properties/new"
            raise refusal(version, rule, f"{name} is not a level")
    return levels


def _new_entries(version: RoomVersion, content: Mapping[str, Any], name: str) -> Levels:
    entries = content.get(name, {})
    levels = _parsed(version, entries) if isinstance(entries, dict) else {name: None}
    if None in levels.values():
        rule = "power_levels/entries" if version.integer_power_levels_only else "power_levels/new_entries/new"
        raise refusal(version, rule, f"{name} is not an object of levels")
    return levels


def _new_users(version: RoomVersion, content: Mapping[str, Any]) -> Levels:
    users = content.get("users", {})
    if not isinstance(users, dict):
        raise refusal(version, "power_levels/users", "users is not an object")
    levels = _parsed(version, users)
    if None in levels.values() or not all(map(is_user_id, users)):
        raise refusal(version, "power_levels/users", "users does not map user ids to levels")
    return levels


def _old_properties(version: RoomVersion, content: Mapping[str, Any]) -> Levels:
    return {name: parse_level(version, content[name]) for name in _PROPERTIES if name in content}


def _old_levels(version: RoomVersion, content: Mapping[str, Any], name: str) -> Levels:
    """What an accepted event holds, with None for what is no level: then there was none."""
    entries = content.get(name)
    return _parsed(version, entries) if isinstance(entries, dict) else {}


def _parsed(version: RoomVersion, entries: Mapping[str, Any]) -> Levels:
    return {key: parse_level(version, value) for key, value in entries.items()}


def _changes(old: Levels, new: Levels) -> Iterator[Change]:
    if old == new:
        return
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield name, before, after


def _check_properties(version: RoomVersion, changes: Iterator[Change], own_level: int) -> None:
    for name, before, after in changes:
        if before is not None and before > own_level:
            raise refusal(version, "power_levels/properties/current", f"{name} is above the sender's level")
        if after is not None and after > own_level:
            raise refusal(version, "power_levels/properties/new", f"{name} would be above the sender's level")


def _check_entries(version: RoomVersion, changes: Iterator[Change], own_level: int) -> None:
    for name, before, after in changes:
        if before is not None and before > own_level:
            raise refusal(version, "power_levels/changed_entries/current", f"{name} is above the sender's level")
        if after is not None and after > own_level:
            raise refusal(version, "power_levels/new_entries/new", f"{name} would be above the sender's level")


def _check_users(event: Event, changes: Iterator[Change], own_level: int) -> None:
    for name, before, after in changes:
        if before is not None and before >= own_level and name != event.sender:
            raise refusal(event.version, "power_levels/changed_users/current", f"{name} is not below the sender")
        if after is not None and after > own_level:
            raise refusal(event.version, "power_levels/new_users/new", f"{name} would be above the sender")
