"""Reactions of Matrix at Discord: the bot's, for all for whom it speaks."""

from typing import Any

from appservice.bridges.core.errors import NotThere, Refused, Temporary, Unsupported
from appservice.bridges.core.ids import EmojiId
from appservice.bridges.core.outgoing import Emoji, MessageRef
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.directs import conversation_of
from appservice.bridges.discord.rest import Rest

Json = dict[str, Any]

_PATH = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"
# Some emoji are characters that are shown as pictures only with this behind them; clients differ in writing it.
_AS_PICTURE = "\ufe0f"


class Reactions:
    """Raises: NetworkError."""

    def __init__(self, *, rest: Rest, directory: Directory) -> None:
        self._rest, self._directory = rest, directory

    async def add(self, ref: MessageRef, emoji: Emoji) -> EmojiId:
        for text, emoji_id in self._spellings(ref, emoji):
            try:
                await self._ask("PUT", ref, text)
            except NotThere:
                continue
            return EmojiId(emoji_id)
        raise Unsupported("Discord knows no such emoji, or the bot may not use it")

    def _spellings(self, ref: MessageRef, emoji: Emoji) -> list[tuple[str, str]]:
        """As it may stand in the address, with its id."""
        if emoji.id is not None and emoji.id.isdigit():
            return [(self._custom(emoji.id), emoji.id)]
        if emoji.unicode is not None:
            bare = emoji.unicode.replace(_AS_PICTURE, "")
            spellings = dict.fromkeys([emoji.unicode, bare, bare + _AS_PICTURE])
            return [(each, each) for each in spellings]
        guild = self._directory.guild_of(ref.channel)
        named = emoji.name.strip(":")
        known = [] if guild is None else [each for each in guild.emojis.values() if each.get("name") == named]
        return [(self._custom(str(each["id"])), str(each["id"])) for each in known[:1]]

    def _custom(self, emoji_id: str) -> str:
        known = self._directory.emoji(emoji_id)
        return f"{known['name'] if known else 'emoji'}:{emoji_id}"

    async def remove(self, ref: MessageRef, emoji: EmojiId) -> None:
        try:
            await self._ask("DELETE", ref, self._custom(emoji) if emoji.isdigit() and len(emoji) > 4 else emoji)
        except Temporary:
            raise
        except (NotThere, Refused):
            # Not there any more.
            return

    async def _ask(self, method: str, ref: MessageRef, emoji: str) -> None:
        conversation = conversation_of(ref.channel)
        channel = conversation.channel_id if conversation is not None else ref.thread or ref.channel
        await self._rest.ask(method, _PATH, needs="Add Reactions", channel_id=channel, message_id=ref.id, emoji=emoji)
