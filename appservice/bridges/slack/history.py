"""Messages of before: pages of the history, of threads, and what was missed.

Slack gives history newest first. For what came after a message all of it has to be read before the first of it can be
told; it is held here until core has taken it, page by page. Apps outside Slack's marketplace get 15 messages a minute:
the waiting is done in api.py.
"""

from collections import OrderedDict
from typing import Any

from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId, ThreadId
from appservice.bridges.core.incoming import HistoryPage, Message
from appservice.bridges.slack.formatting.rich_text import dicts, text_of
from appservice.bridges.slack.ids import local_part
from appservice.bridges.slack.messages import Messages, ms_of
from appservice.bridges.slack.team import Team

PAGE = 200
# More than that is not made up for at once.
MAX_MISSED = 5_000
MAX_HELD = 20
MAX_EMPTY = 10
THREADS_LOOKED_AT = 200


class History:
    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        # What was read and not told yet, oldest first, by (channel, thread, the id of the last that was told).
        self._held: OrderedDict[tuple[str, str, str], list[JsonDict]] = OrderedDict()

    async def page(
        self,
        team: Team,
        channel: ChannelId,
        *,
        limit: int,
        before: MessageId | None,
        after: MessageId | None,
        thread: ThreadId | None,
        page: str | None,
    ) -> HistoryPage:
        if after is not None:
            return await self._after(team, channel, limit, MessageId(page or after), thread)
        if thread is not None:
            return await self._newest_of_thread(team, channel, limit, before, thread)
        return await self._newest(team, channel, limit, before, page)

    async def _newest(
        self, team: Team, channel: ChannelId, limit: int, before: MessageId | None, page: str | None
    ) -> HistoryPage:
        """A page that only tells who came and went is no end: the next one is looked at too."""
        args: JsonDict = {"limit": min(limit, PAGE), "include_all_metadata": True}
        args |= {"latest": before} if before else {}
        for _ in range(MAX_EMPTY):
            answer = await team.read_channel(
                channel, "conversations.history", **args, **({"cursor": page} if page else {})
            )
            messages = await self._read(team, channel, list(reversed(dicts(answer.get("messages")))))
            page = text_of((answer.get("response_metadata") or {}).get("next_cursor")) or None
            if messages or page is None:
                break
        return HistoryPage(messages=messages, next=page)

    async def _after(
        self, team: Team, channel: ChannelId, limit: int, after: MessageId, thread: ThreadId | None
    ) -> HistoryPage:
        key = (channel, thread or "", after)
        raw = self._held.pop(key, None)
        if raw is None:
            raw = await self._all_after(team, channel, after, thread)
        told, rest = raw[:limit], raw[limit:]
        following = None
        if rest:
            following = str(told[-1]["ts"])
            self._held[(channel, thread or "", following)] = rest
            while len(self._held) > MAX_HELD:
                self._held.popitem(last=False)
        return HistoryPage(
            messages=await self._read(team, channel, told), next=following, is_complete=len(raw) < MAX_MISSED
        )

    async def _all_after(
        self, team: Team, channel: ChannelId, after: MessageId, thread: ThreadId | None
    ) -> list[JsonDict]:
        """Oldest first."""
        method = "conversations.replies" if thread else "conversations.history"
        args: JsonDict = {"oldest": after, "limit": PAGE, "include_all_metadata": True}
        args |= {"ts": thread} if thread else {}
        found = await self._all(team, channel, method, args)
        newer = [message for message in found if float(message["ts"]) > float(after)]
        return sorted(newer, key=lambda message: float(message["ts"]))

    async def _all(self, team: Team, channel: ChannelId, method: str, args: JsonDict) -> list[JsonDict]:
        found: list[JsonDict] = []
        cursor = ""
        while len(found) < MAX_MISSED:
            answer = await team.read_channel(channel, method, **args, **({"cursor": cursor} if cursor else {}))
            found += [message for message in dicts(answer.get("messages")) if _has_time(message)]
            cursor = text_of((answer.get("response_metadata") or {}).get("next_cursor"))
            if not cursor:
                break
        return found

    async def _newest_of_thread(
        self, team: Team, channel: ChannelId, limit: int, before: MessageId | None, thread: ThreadId
    ) -> HistoryPage:
        """Slack gives threads oldest first: to know the end, all of it is read. The root is not among it."""
        args: JsonDict = {"ts": thread, "limit": PAGE, "include_all_metadata": True}
        args |= {"latest": before} if before else {}
        found = await self._all(team, channel, "conversations.replies", args)
        raw = [message for message in found if message["ts"] not in (thread, before)]
        return HistoryPage(messages=await self._read(team, channel, raw[-limit:]), is_complete=len(found) < MAX_MISSED)

    async def threads(
        self, team: Team, channel: ChannelId, after_ms: int
    ) -> list[tuple[ThreadId, MessageId | None, str]]:
        """Of the newest messages those whose threads went on. Slack cannot tell which older ones did."""
        args: JsonDict = {"limit": THREADS_LOOKED_AT}
        answer = await team.read_channel(channel, "conversations.history", **args)
        found: list[tuple[ThreadId, MessageId | None, str]] = []
        for message in dicts(answer.get("messages")):
            latest = text_of(message.get("latest_reply"))
            if latest and ms_of(latest) >= after_ms:
                ts = str(message["ts"])
                found.append((ThreadId(ts), MessageId(ts), text_of(message.get("text"))[:50]))
        return found

    async def _read(self, team: Team, channel: ChannelId, raw: list[JsonDict]) -> tuple[Message, ...]:
        read: list[Message] = []
        for each in raw:
            message = await self._messages.read(team, local_part(channel), each, is_whole=True)
            if message is not None:
                read.append(message)
        return tuple(read)


def _has_time(message: dict[str, Any]) -> bool:
    try:
        return float(message["ts"]) > 0
    except (KeyError, TypeError, ValueError):
        return False
