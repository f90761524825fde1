"""Roles as power levels, and permissions. Pure functions.

Source: Discord developer documentation, "Permissions".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.incoming import Power

Json = dict[str, Any]

KICK, BAN, ADMINISTRATOR, MANAGE_CHANNELS, MANAGE_GUILD = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
VIEW_AUDIT_LOG = 1 << 7
ADD_REACTIONS, VIEW_CHANNEL, SEND_MESSAGES, MANAGE_MESSAGES = 1 << 6, 1 << 10, 1 << 11, 1 << 13
EMBED_LINKS, ATTACH_FILES, READ_HISTORY, MENTION_EVERYONE = 1 << 14, 1 << 15, 1 << 16, 1 << 17
EXTERNAL_EMOJI, MANAGE_ROLES, MANAGE_WEBHOOKS = 1 << 18, 1 << 28, 1 << 29
MANAGE_THREADS, CREATE_THREADS, EXTERNAL_STICKERS = 1 << 34, 1 << 35, 1 << 37
SEND_IN_THREADS, PIN_MESSAGES = 1 << 38, 1 << 51
ALL = (1 << 53) - 1

# The highest that a role gives. 100 stays with the bridge's bot, which must be able to take levels back.
_LEVELS = ((ADMINISTRATOR | MANAGE_GUILD, 95), (MANAGE_CHANNELS | MANAGE_ROLES, 75), (BAN | KICK | MANAGE_MESSAGES, 50))
OWNER_LEVEL = 95
MUTED_LEVEL = 50


def guild_permissions(guild: Json, roles: Mapping[str, Json], member: Json) -> int:
    """What a member may do in the whole guild."""
    if str(guild.get("owner_id")) == str(member["user"]["id"]):
        return ALL
    bits = 0
    for role_id in (str(guild["id"]), *map(str, member.get("roles", []))):
        if role_id in roles:
            bits |= int(roles[role_id].get("permissions") or 0)
    return ALL if bits & ADMINISTRATOR else bits


def channel_permissions(guild: Json, roles: Mapping[str, Json], member: Json, channel: Json) -> int:
    """What a member may do in a channel: of a thread, ask with its parent."""
    bits = guild_permissions(guild, roles, member)
    if bits == ALL:
        return ALL
    overwrites = {str(each["id"]): each for each in channel.get("permission_overwrites") or []}
    mine = [str(each) for each in member.get("roles", [])]
    for group in ([str(guild["id"])], mine, [str(member["user"]["id"])]):
        found = [overwrites[each] for each in group if each in overwrites]
        for each in found:
            bits &= ~int(each.get("deny") or 0)
        for each in found:
            bits |= int(each.get("allow") or 0)
    return bits if bits & VIEW_CHANNEL else 0


def role_level(role: Json, configured: Mapping[str, int]) -> int:
    """The level that a role stands for: as configured by id or name, else by its permissions."""
    for key in (str(role["id"]), str(role["name"])):
        if key in configured:
            return configured[key]
    bits = int(role.get("permissions") or 0)
    return next((level for needed, level in _LEVELS if bits & needed), 0)


def member_level(guild: Json, roles: Mapping[str, Json], member: Json, configured: Mapping[str, int]) -> int:
    if str(guild.get("owner_id")) == str(member["user"]["id"]):
        return OWNER_LEVEL
    mine = [roles[str(each)] for each in member.get("roles", []) if str(each) in roles]
    return max((role_level(role, configured) for role in mine), default=0)


def power(
    guild: Json, roles: Mapping[str, Json], members: Iterable[Json], channel: Json, configured: Mapping[str, int]
) -> Power:
    """Who has which level; what needs which. Where not everybody may write, those who may have the level for it."""
    everyone = {"user": {"id": "0"}, "roles": []}
    is_muted = not channel_permissions(guild, roles, everyone, channel) & SEND_MESSAGES
    people: dict[PersonId, int] = {}
    for member in members:
        level = member_level(guild, roles, member, configured)
        if is_muted and channel_permissions(guild, roles, member, channel) & SEND_MESSAGES:
            level = max(level, MUTED_LEVEL)
        if level:
            people[PersonId(str(member["user"]["id"]))] = level
    actions = {
        "events_default": MUTED_LEVEL if is_muted else 0,
        "redact": 50,
        "kick": 50,
        "ban": 50,
        "m.room.pinned_events": 50,
        "m.room.name": 75,
        "m.room.topic": 75,
    }
    return Power(people=people, actions=actions)


def role_for_level(roles: Mapping[str, Json], level: int, configured: Mapping[str, int]) -> str | None:
    """The role that the settings name for this level."""
    for role_id, role in roles.items():
        if configured.get(role_id, configured.get(str(role["name"]))) == level:
            return role_id
    return None
