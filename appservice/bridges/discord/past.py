"""The history of channels, threads and direct chats."""

import contextlib
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from appservice.bridges.core.errors import ChannelGone, MissingPermission, NetworkError, NotThere, Temporary
from appservice.bridges.core.ids import ChannelId, MessageId, ThreadId
from appservice.bridges.core.incoming import HistoryPage, Message
from appservice.bridges.core.network import Bridge
from appservice.bridges.discord import shapes
from appservice.bridges.discord.directory import FORUM, MEDIA, Directory
from appservice.bridges.discord.directs import Conversation, Directs, conversation_of
from appservice.bridges.discord.messages import Messages
from appservice.bridges.discord.rest import Rest

Json = dict[str, Any]

MAX_PAGE = 100
_MESSAGES = "/channels/{channel_id}/messages"
_HISTORY = "Read Message History"


class Past:
    """Raises: NetworkError."""

    def __init__(
        self, *, bridge: Bridge, rest: Rest, directory: Directory, messages: Messages, directs: Directs
    ) -> None:
        self._bridge, self._rest, self._directory = bridge, rest, directory
        self._messages, self._directs = messages, directs

    async def page(
        self,
        channel: ChannelId,
        *,
        limit: int,
        before: MessageId | None,
        after: MessageId | None,
        thread: ThreadId | None,
        page: str | None,
    ) -> HistoryPage:
        """`page` is the id of a message at which the page before ended."""
        conversation = conversation_of(channel)
        spoken = conversation.channel_id if conversation is not None else thread or channel
        if self._is_forum(channel) and thread is None:
            return HistoryPage(messages=())
        size = min(limit, MAX_PAGE)
        query: Json = {"limit": size}
        if after is not None:
            query["after"] = page or after
        elif before is not None or page is not None:
            query["before"] = page or before
        try:
            found = await self._rest.ask("GET", _MESSAGES, query=query, channel_id=spoken, needs=_HISTORY)
        except NotThere:
            return HistoryPage(messages=())
        found.sort(key=lambda each: int(each["id"]))
        messages = await self._read(found, channel, thread, conversation)
        edge = None if not found else found[-1 if after is not None else 0]["id"]
        return HistoryPage(messages=tuple(messages), next=None if len(found) < size else str(edge))

    def _is_forum(self, channel: ChannelId) -> bool:
        known = self._directory.channel(channel)
        return known is not None and known.get("type") in (FORUM, MEDIA)

    async def _read(
        self, found: Sequence[Json], channel: ChannelId, thread: ThreadId | None, conversation: Conversation | None
    ) -> list[Message]:
        messages = []
        for each in found:
            if conversation is not None and not await self._belongs(each, conversation):
                continue
            message = await self._messages.read(each, channel, thread)
            if message is None or not message.parts:
                continue
            messages.append(await self._with_reactions(message, each))
        return messages

    async def _with_reactions(self, message: Message, data: Json) -> Message:
        if not data.get("reactions") and "poll" not in data:
            return evolve(message, reactions=())
        try:
            return await self._messages.with_reactions(message, data)
        except Temporary:
            raise
        except NetworkError:
            return message

    async def _belongs(self, data: Json, conversation: Conversation) -> bool:
        """Whether it was said in this conversation: several share the channel."""
        if self._directory.is_me(str(data["author"]["id"])):
            return await self._bridge.find_ref(conversation.id, MessageId(str(data["id"]))) is not None
        return await self._directs.of_new(conversation.channel_id, data) == conversation

    async def _archived_since(self, channel: ChannelId, after_ms: int) -> list[Json]:
        """Those that came to rest since, the last of them first."""
        path = "/channels/{channel_id}/threads/archived/public"
        found: list[Json] = []
        query: Json = {"limit": MAX_PAGE}
        while True:
            answer = await self._rest.ask("GET", path, query=query, channel_id=channel, needs=_HISTORY)
            found += answer["threads"]
            ended = answer["threads"][-1]["thread_metadata"]["archive_timestamp"] if answer["threads"] else None
            is_older = (shapes.moment_ms(ended) or 0) < after_ms
            if not answer.get("has_more") or is_older or ended == query.get("before"):
                return found
            query = {**query, "before": ended}

    async def threads(self, channel: ChannelId, after_ms: int) -> Sequence[tuple[ThreadId, MessageId | None, str]]:
        """Those that are open, or were archived since; a thread's root has its id."""
        if conversation_of(channel) is not None:
            return ()
        guild = self._directory.guild_of(channel)
        if guild is None:
            return ()
        open_ones = await self._rest.ask("GET", "/guilds/{guild_id}/threads/active", guild_id=guild.id)
        found = [each for each in open_ones["threads"] if str(each.get("parent_id")) == channel]
        with contextlib.suppress(MissingPermission, ChannelGone):
            found += await self._archived_since(channel, after_ms)
        for each in found:
            self._directory.put_channel({**each, "guild_id": guild.id})
        since = int(shapes.snowflake_at(after_ms))
        newer = [each for each in found if int(each.get("last_message_id") or each["id"]) >= since]
        is_forum = self._is_forum(channel)
        return [
            (ThreadId(str(each["id"])), None if is_forum else MessageId(str(each["id"])), str(each["name"]))
            for each in newer
        ]
