"""Who may do what where.

Source: Discord developer documentation, "Permissions": base permissions of the roles, then the overwrites of the
channel for @everyone, for the roles together, for the member.
"""

from enum import IntFlag
from typing import Any

Json = dict[str, Any]


class P(IntFlag):
    """The bits that the fake looks at; the others exist as numbers only."""

    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_AUDIT_LOG = 1 << 7
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    MANAGE_EXPRESSIONS = 1 << 30
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    USE_EXTERNAL_STICKERS = 1 << 37
    SEND_MESSAGES_IN_THREADS = 1 << 38
    CREATE_EXPRESSIONS = 1 << 43
    SEND_POLLS = 1 << 49
    PIN_MESSAGES = 1 << 51


ALL = (1 << 53) - 1
EVERYBODY = (
    P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.ADD_REACTIONS
    | P.USE_EXTERNAL_EMOJIS
    | P.CREATE_PUBLIC_THREADS
    | P.SEND_MESSAGES_IN_THREADS
    | P.SEND_POLLS
)


def permissions_in(guild: Json, roles: dict[str, Json], member: Json | None, channel: Json | None) -> int:
    """What a member may do, in a channel or (without one) in the whole guild; 0 for who is no member."""
    if member is None:
        return 0
    user_id = member["user"]["id"]
    if guild["owner_id"] == user_id:
        return ALL
    mine = [guild["id"], *member["roles"]]
    bits = 0
    for role_id in mine:
        bits |= int(roles[role_id]["permissions"]) if role_id in roles else 0
    if bits & P.ADMINISTRATOR:
        return ALL
    return bits if channel is None else _overwritten(bits, channel, guild["id"], mine[1:], user_id)


def _overwritten(bits: int, channel: Json, everyone: str, roles: list[str], user_id: str) -> int:
    overwrites = {each["id"]: each for each in channel.get("permission_overwrites", [])}
    for group in ([everyone], roles, [user_id]):
        found = [overwrites[each] for each in group if each in overwrites]
        for overwrite in found:
            bits &= ~int(overwrite["deny"])
        for overwrite in found:
            bits |= int(overwrite["allow"])
    return bits if bits & P.VIEW_CHANNEL else 0
