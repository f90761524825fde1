"""Permissions and power levels, from hand-made guilds."""

from typing import Any

from appservice.bridges.discord import powers

GUILD = {"id": "1", "owner_id": "10"}
ROLES: dict[str, Any] = {
    "1": {"id": "1", "name": "@everyone", "permissions": str(powers.VIEW_CHANNEL | powers.SEND_MESSAGES)},
    "2": {"id": "2", "name": "keeper", "permissions": str(powers.MANAGE_MESSAGES)},
    "3": {"id": "3", "name": "king", "permissions": str(powers.ADMINISTRATOR)},
}


def member(user_id: str, *roles: str) -> dict[str, Any]:
    return {"user": {"id": user_id}, "roles": list(roles)}


def channel(*overwrites: tuple[str, int, int]) -> dict[str, Any]:
    return {"permission_overwrites": [{"id": at, "allow": str(yes), "deny": str(no)} for at, yes, no in overwrites]}


def may(user: dict[str, Any], at: dict[str, Any], bit: int) -> bool:
    return bool(powers.channel_permissions(GUILD, ROLES, user, at) & bit)


def test_the_owner_and_administrators_may_everything() -> None:
    closed = channel(("1", 0, powers.VIEW_CHANNEL))
    assert may(member("10"), closed, powers.BAN)
    assert may(member("11", "3"), closed, powers.BAN)
    assert not may(member("12"), closed, powers.VIEW_CHANNEL)


def test_a_member_overrules_roles_and_roles_overrule_everyone() -> None:
    at = channel(("1", 0, powers.SEND_MESSAGES), ("2", powers.SEND_MESSAGES, 0), ("13", 0, powers.SEND_MESSAGES))
    assert not may(member("12"), at, powers.SEND_MESSAGES)
    assert may(member("12", "2"), at, powers.SEND_MESSAGES)
    assert not may(member("13", "2"), at, powers.SEND_MESSAGES)


def test_among_roles_what_is_allowed_counts() -> None:
    at = channel(("2", 0, powers.SEND_MESSAGES), ("4", powers.SEND_MESSAGES, 0))
    assert may(member("12", "2", "4"), at, powers.SEND_MESSAGES)


def test_who_sees_nothing_may_nothing() -> None:
    at = channel(("1", powers.SEND_MESSAGES, powers.VIEW_CHANNEL))
    assert powers.channel_permissions(GUILD, ROLES, member("12"), at) == 0


def test_levels_follow_from_permissions_and_settings_overrule_them() -> None:
    people = [member("10"), member("11", "3"), member("12", "2"), member("13")]
    power = powers.power(GUILD, ROLES, people, channel(), {})
    assert power.people == {"10": 95, "11": 95, "12": 50}
    assert power.actions["events_default"] == 0
    assert powers.power(GUILD, ROLES, people, channel(), {"keeper": 7}).people["12"] == 7


def test_where_few_may_write_writing_needs_a_level_that_they_have() -> None:
    at = channel(("1", 0, powers.SEND_MESSAGES), ("13", powers.SEND_MESSAGES, 0))
    power = powers.power(GUILD, ROLES, [member("12"), member("13")], at, {})
    assert (power.actions["events_default"], power.people) == (50, {"13": 50})


def test_a_level_stands_for_a_role_only_if_the_settings_say_so() -> None:
    assert powers.role_for_level(ROLES, 50, {}) is None
    assert powers.role_for_level(ROLES, 50, {"keeper": 50}) == "2"
    assert powers.role_for_level(ROLES, 50, {"3": 50}) == "3"
