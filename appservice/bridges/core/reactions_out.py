"""Reactions, answers to buttons and votes of Matrix to the network."""

import logging
from typing import Any

from attrs import evolve

from appservice.bridges.core import actions, polls, texts
from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import EmojiId
from appservice.bridges.core.message_map import MessageMap, ref_of
from appservice.bridges.core.outgoing import Author, Emoji, Text
from storage import bridges_messages as rows
from storage.bridges import PortalRow
from storage.bridges_messages import MessageRow, ReactionRow

JsonDict = dict[str, Any]
# Longer keys are texts.
_MAX_KEY = 255

logger = logging.getLogger(__name__)


class ReactionsOut:
    """Raises: NetworkError, HomeserverDown."""

    def __init__(self, *, context: Context, message_map: MessageMap, authors: Authors) -> None:
        self._context, self._map, self._authors = context, message_map, authors

    async def add(self, portal: PortalRow, event: JsonDict) -> None:
        """A reaction; a keycap under a message with buttons is an answer."""
        relates = texts.relation_of(event["content"])
        target, key = relates.get("event_id"), relates.get("key")
        if not isinstance(target, str) or not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY:
            return
        if await self._context.store.read(rows.reaction_of_event, event["event_id"]) is not None:
            return
        known = await self._map.of_event(target)
        if not known:
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        number = actions.keycap(key)
        if number is not None and known[0].actions:
            await self.press(author, known, [number])
            return
        emoji = await self._emoji(key, event["content"])
        emoji_id = await self._context.network.react(author, ref_of(known), emoji)
        reaction = ReactionRow(
            channel_id=known[0].channel_id,
            message_id=known[0].message_id,
            user_id=event["sender"],
            emoji_id=emoji_id,
            event_id=event["event_id"],
            is_relayed=author.login is None,
        )
        await self._context.store.run(rows.put_reaction, reaction)

    async def _emoji(self, key: str, content: JsonDict) -> Emoji:
        shortcode = content.get("shortcode", content.get("com.beeper.reaction.shortcode"))
        name = shortcode.strip(":") if isinstance(shortcode, str) else key.strip(":")
        if key.startswith("mxc://"):
            found = (await self._context.store.read(rows.emoji_of_images, [key])).get(key)
            return Emoji(id=None if found is None else EmojiId(found), name=name)
        if key.startswith(":") and key.endswith(":"):
            named = await self._context.store.read(rows.emoji_named, name)
            return Emoji(id=None if named is None else EmojiId(named), name=name)
        return Emoji(unicode=key, name=name)

    async def remove(self, portal: PortalRow, event: JsonDict, reaction: ReactionRow) -> None:
        """It was taken back. The bot's is, when the last of those is gone for whom it was there."""
        known = await self._map.of_message(reaction.channel_id, reaction.message_id)
        if known and await self._is_last(reaction):
            author = await self._authors.of(event["sender"], portal.room_id)
            if reaction.is_relayed:
                author = evolve(author, login=None)
            await self._context.network.unreact(author, ref_of(known[:1]), EmojiId(reaction.emoji_id))
        await self._context.store.run(rows.delete_reaction, reaction)

    async def _is_last(self, reaction: ReactionRow) -> bool:
        if not reaction.is_relayed:
            return True
        others = await self._context.store.read(rows.reactions, reaction.channel_id, reaction.message_id)
        return not any(
            each.is_relayed and each.emoji_id == reaction.emoji_id and each.user_id != reaction.user_id
            for each in others
        )

    # --- buttons and menus

    async def answer(self, portal: PortalRow, event: JsonDict) -> bool:
        """Is it an answer to a message with buttons? Then it was given."""
        target = texts.reply_of(event["content"])
        numbers = actions.numbers_in(texts.body_of(event["content"]))
        if target is None or not numbers:
            return False
        known = await self._map.of_event(target)
        if not known or not known[0].actions:
            return False
        await self.press(await self._authors.of(event["sender"], portal.room_id), known, numbers)
        return True

    async def press(self, author: Author, known: list[MessageRow], numbers: list[int]) -> None:
        """Several numbers of one menu are one answer."""
        choices = [actions.choice(known[0].actions or [], number) for number in dict.fromkeys(numbers)]
        found = [each for each in choices if each is not None]
        if not found or len({each.action["id"] for each in found}) > 1:
            raise Refused("there is no such choice")
        if len(found) > max(found[0].max_selections, 1):
            raise Refused(f"choose at most {found[0].max_selections}")
        values = [each.value for each in found if each.value is not None]
        await self._context.network.press(author, ref_of(known), found[0].action, values)

    # --- polls

    async def vote(self, portal: PortalRow, event: JsonDict) -> None:
        target = texts.related(event["content"], "m.reference")
        answers = polls.read_answers(event["content"])
        known = [] if target is None else await self._map.of_event(target)
        if not known or answers is None:
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        await self._context.network.vote(author, ref_of(known), answers)

    async def end_poll(self, portal: PortalRow, event: JsonDict) -> None:
        target = texts.related(event["content"], "m.reference")
        known = [] if target is None else await self._map.of_event(target)
        # Source: MSC3381: only who began it, or who may redact, ends a poll.
        if not known or known[0].user_id != event["sender"]:
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        body = event["content"].get("org.matrix.msc1767.text", event["content"].get("body", ""))
        text = Text(body=body if isinstance(body, str) else "")
        await self._context.network.end_poll(author, ref_of(known), text)
