"""Which intent an event of the gateway needs, and what is taken out of messages without MESSAGE_CONTENT.

Source: Discord developer documentation, "Gateway Intents".
"""

from enum import IntFlag
from typing import Any

Json = dict[str, Any]


class Intent(IntFlag):
    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_MODERATION = 1 << 2
    GUILD_EXPRESSIONS = 1 << 3
    GUILD_INTEGRATIONS = 1 << 4
    GUILD_WEBHOOKS = 1 << 5
    GUILD_INVITES = 1 << 6
    GUILD_VOICE_STATES = 1 << 7
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    GUILD_MESSAGE_TYPING = 1 << 11
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    DIRECT_MESSAGE_TYPING = 1 << 14
    MESSAGE_CONTENT = 1 << 15
    GUILD_SCHEDULED_EVENTS = 1 << 16
    AUTO_MODERATION_CONFIGURATION = 1 << 20
    AUTO_MODERATION_EXECUTION = 1 << 21
    GUILD_MESSAGE_POLLS = 1 << 24
    DIRECT_MESSAGE_POLLS = 1 << 25


_OF_GUILDS = {
    "GUILD_UPDATE", "GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE", "GUILD_ROLE_DELETE", "CHANNEL_CREATE", "CHANNEL_UPDATE",
    "CHANNEL_DELETE", "CHANNEL_PINS_UPDATE", "THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE", "THREAD_LIST_SYNC",
}  # fmt: skip
_OTHERS = {
    "GUILD_MEMBER_ADD": Intent.GUILD_MEMBERS,
    "GUILD_MEMBER_UPDATE": Intent.GUILD_MEMBERS,
    "GUILD_MEMBER_REMOVE": Intent.GUILD_MEMBERS,
    "THREAD_MEMBERS_UPDATE": Intent.GUILD_MEMBERS,
    "GUILD_BAN_ADD": Intent.GUILD_MODERATION,
    "GUILD_BAN_REMOVE": Intent.GUILD_MODERATION,
    "GUILD_EMOJIS_UPDATE": Intent.GUILD_EXPRESSIONS,
    "GUILD_STICKERS_UPDATE": Intent.GUILD_EXPRESSIONS,
    "WEBHOOKS_UPDATE": Intent.GUILD_WEBHOOKS,
    "PRESENCE_UPDATE": Intent.GUILD_PRESENCES,
}


def needed_for(event: str, guild_id: str | None) -> Intent | None:
    """One of these intents must have been asked for; None: everybody hears it."""
    if event in _OF_GUILDS:
        return Intent.GUILDS if guild_id else Intent.DIRECT_MESSAGES
    if event in _OTHERS:
        return _OTHERS[event]
    if event.startswith("MESSAGE_POLL_VOTE"):
        return Intent.GUILD_MESSAGE_POLLS if guild_id else Intent.DIRECT_MESSAGE_POLLS
    if event.startswith("MESSAGE_REACTION"):
        return Intent.GUILD_MESSAGE_REACTIONS if guild_id else Intent.DIRECT_MESSAGE_REACTIONS
    if event.startswith("MESSAGE_"):
        return Intent.GUILD_MESSAGES if guild_id else Intent.DIRECT_MESSAGES
    if event == "TYPING_START":
        return Intent.GUILD_MESSAGE_TYPING if guild_id else Intent.DIRECT_MESSAGE_TYPING
    return None


def without_content(event: str, data: Json, me: str, intents: Intent, guild_id: str | None) -> Json:
    """A message as this bot may see it: nothing that people wrote, unless asked for, its own, direct or naming it."""
    if event not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or intents & Intent.MESSAGE_CONTENT or not guild_id:
        return data
    named = any(each["id"] == me for each in data.get("mentions", []))
    if data["author"]["id"] == me or named:
        return data
    hidden = {**data, "content": "", "embeds": [], "attachments": [], "components": []}
    hidden.pop("poll", None)
    return hidden
