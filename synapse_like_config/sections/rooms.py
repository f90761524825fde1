"""Rooms, their directory, and invitations."""

from collections.abc import Collection, Iterable
from typing import Any, Literal

from attrs import frozen

from matrix import globs
from synapse_like_config.reading import option, required, section
from synapse_like_config.units import BadValue


@frozen
class DirectoryRule:
    """Who may (not) name or publish which room: patterns with * and ?, case ignored."""

    action: Literal["allow", "deny"] = required("allow or deny.")
    user_id: str = option("*", "The user who wants to.")
    alias: str = option("*", "The alias; to publish, one that the room has.")
    room_id: str = option("*", "The room.")

    def matches(self, user_id: str, room_id: str, aliases: Collection[str]) -> bool:
        if not globs.whole(self.user_id)(user_id.lower()) or not globs.whole(self.room_id)(room_id.lower()):
            return False
        return self.alias == "*" or any(globs.whole(self.alias)(alias.lower()) for alias in aliases)


def allowed(rules: Iterable[DirectoryRule], user_id: str, room_id: str, aliases: Collection[str]) -> bool:
    """What the first rule that matches says; no, if none does."""
    return next((rule.action == "allow" for rule in rules if rule.matches(user_id, room_id, aliases)), False)


@frozen
class LimitRemoteRooms:
    """Whether rooms of other servers may be too large to join."""

    enabled: bool = option(False, "Whether there is a limit.")
    complexity: float = option(1.0, "The limit: the number of state events, by 500.")
    complexity_error: str = option("This room is too large for this server.", "What users are told.")
    admins_can_join: bool = option(False, "Whether administrators may join all the same.")


StateType = tuple[str, str | None]


def _state_types(raw: Any) -> tuple[StateType, ...]:
    if not isinstance(raw, list):
        raise BadValue("must be a list")
    return tuple(_state_type(each) for each in raw)


def _state_type(raw: Any) -> StateType:
    if isinstance(raw, str):
        return (raw, None)
    if isinstance(raw, list) and len(raw) == 2 and all(isinstance(each, str) for each in raw):
        return (raw[0], raw[1])
    raise BadValue(f"{raw!r} is neither an event type nor a list of event type and state key")


@frozen
class PrejoinState:
    """What those see of a room who are invited or knock."""

    disable_default_event_types: bool = option(False, "Whether not to show what the specification recommends.")
    additional_event_types: tuple[StateType, ...] = option(
        (), "Types of state to show besides; each a type, or a list of type and state key.", read=_state_types
    )


@frozen
class AutoAcceptInvites:
    """Joining where one is invited to, without being asked."""

    enabled: bool = option(False, "Whether all users do.")
    only_for_direct_messages: bool = option(False, "Whether only to conversations of two.")
    only_from_local_users: bool = option(False, "Whether only where users of this server invite.")


@frozen
class Rooms:
    """Rooms and their directory."""

    enable_room_list_search: bool = option(True, "Whether users may look into the room directory.")
    alias_creation_rules: tuple[DirectoryRule, ...] = option(
        (DirectoryRule(action="allow"),), "Who may give which room which alias. The first rule that matches counts."
    )
    room_list_publication_rules: tuple[DirectoryRule, ...] = option(
        (DirectoryRule(action="allow"),),
        "Who may publish which room in the directory. The first rule that matches counts; an empty list: nobody.",
    )
    allow_public_rooms_without_auth: bool = option(False, "Whether those who are not signed in see the directory.")
    allow_public_rooms_over_federation: bool = option(False, "Whether other servers see the directory.")
    require_membership_for_aliases: bool = option(True, "Whether only members may give a room an alias.")
    block_non_admin_invites: bool = option(False, "Whether only administrators may invite.")
    limit_remote_rooms: LimitRemoteRooms = section(LimitRemoteRooms, "Rooms too large to join.")
    encryption_enabled_by_default_for_room_type: Literal["off", "invite", "all"] = option(
        "off", "Which new rooms are encrypted: off, invite (those that are not public), all.",
        read=lambda raw: _room_type(raw),
    )  # fmt: skip
    default_power_level_content_override: dict[str, Any] = option(
        {}, "The power levels of new rooms: `m.room.power_levels` by the preset of the room."
    )
    forget_rooms_on_leave: bool = option(False, "Whether who leaves a room forgets it too.")
    room_prejoin_state: PrejoinState = section(PrejoinState, "What the invited see of a room.")
    auto_accept_invites: AutoAcceptInvites = section(AutoAcceptInvites, "Joining without being asked.")

    def may_make_alias(self, user_id: str, room_id: str, alias: str) -> bool:
        return allowed(self.alias_creation_rules, user_id, room_id, (alias,))

    def may_publish(self, user_id: str, room_id: str, aliases: Collection[str]) -> bool:
        return allowed(self.room_list_publication_rules, user_id, room_id, aliases)


def _room_type(raw: Any) -> str:
    # YAML reads a bare off as false.
    value = "off" if raw is False else raw
    if value not in ("off", "invite", "all"):
        raise BadValue(f"must be one of off, invite, all, not {raw!r}")
    return str(value)
