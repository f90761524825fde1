"""Messages of before: pages of the history, of threads, and what was missed.

Slack gives history newest first. For what came after a message all of it has to be read before the first of it can be
told; it is held here until core has taken it, page by page: the oldest of it, where it is more than can be held, and
then the rest is read again. Apps outside Slack's marketplace get 15 messages a minute: the waiting is done in api.py,
and what was read before an interruption is kept.
"""

from collections import OrderedDict
from typing import Any

from attrs import define, field

from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId, ThreadId
from appservice.bridges.core.incoming import HistoryPage, Message
from appservice.bridges.slack.formatting.rich_text import dicts, text_of
from appservice.bridges.slack.ids import local_part
from appservice.bridges.slack.messages import Messages, ms_of
from appservice.bridges.slack.team import Team

PAGE = 200
# So much is held at once.
MAX_MISSED = 5_000
MAX_HELD = 20
MAX_EMPTY = 10
THREADS_LOOKED_AT = 200


@define
class Read:
    """Messages as Slack gives them, and where to go on. `is_cut`: there are more, which were not kept."""

    messages: list[JsonDict] = field(factory=list)
    cursor: str = ""
    is_cut: bool = False


class History:
    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        # What was read and not told yet, oldest first, by (channel, thread, the id of the last that was told).
        self._held: OrderedDict[tuple[str, str, str], Read] = OrderedDict()
        # What is being read, likewise.
        self._begun: OrderedDict[tuple[str, str, str], Read] = OrderedDict()

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
        read = self._held.pop(key, None)
        if read is None:
            read = await self._all_after(team, channel, after, thread)
        told, rest = read.messages[:limit], read.messages[limit:]
        following = None
        if told and (rest or read.is_cut):
            following = str(told[-1]["ts"])
            if rest:
                _keep(self._held, (channel, thread or "", following), Read(rest, is_cut=read.is_cut))
        return HistoryPage(messages=await self._read(team, channel, told), next=following)

    async def _all_after(self, team: Team, channel: ChannelId, after: MessageId, thread: ThreadId | None) -> "Read":
        """Oldest first."""
        key = (channel, thread or "", after)
        args: JsonDict = {"oldest": after, "limit": PAGE, "include_all_metadata": True}
        args |= {"ts": thread} if thread else {}
        read = self._begun.pop(key, None) or Read()
        try:
            await self._all(team, channel, "conversations.replies" if thread else "conversations.history", args, read)
        except NetworkError:
            _keep(self._begun, key, read)
            raise
        newer = [message for message in read.messages if float(message["ts"]) > float(after)]
        return Read(sorted(newer, key=lambda message: float(message["ts"])), is_cut=read.is_cut)

    async def _all(self, team: Team, channel: ChannelId, method: str, args: JsonDict, read: "Read") -> None:
        """On to the end, or as much as can be held: threads come oldest first, all else newest first."""
        is_thread = "ts" in args
        while True:
            cursor = {"cursor": read.cursor} if read.cursor else {}
            answer = await team.read_channel(channel, method, **args, **cursor)
            read.messages += [message for message in dicts(answer.get("messages")) if _has_time(message)]
            read.cursor = text_of((answer.get("response_metadata") or {}).get("next_cursor"))
            too_many = len(read.messages) - MAX_MISSED
            if too_many > 0 and not is_thread:
                del read.messages[:too_many]
                read.is_cut = True
            if not read.cursor:
                return
            if too_many >= 0 and is_thread:
                read.is_cut = True
                return

    async def _newest_of_thread(
        self, team: Team, channel: ChannelId, limit: int, before: MessageId | None, thread: ThreadId
    ) -> HistoryPage:
        """Slack gives threads oldest first: to know the end, all of it is read. The root is not among it."""
        args: JsonDict = {"ts": thread, "limit": PAGE, "include_all_metadata": True}
        args |= {"latest": before} if before else {}
        found = Read()
        await self._all(team, channel, "conversations.replies", args, found)
        raw = [message for message in found.messages if message["ts"] not in (thread, before)]
        return HistoryPage(messages=await self._read(team, channel, raw[-limit:]), is_complete=not found.is_cut)

    async def threads(
        self, team: Team, channel: ChannelId, after_ms: int
    ) -> list[tuple[ThreadId, MessageId | None, str]]:
        """Of what was written since, and of the newest before, those whose threads went on.

        Slack cannot tell which older ones did.
        """
        found: list[tuple[ThreadId, MessageId | None, str]] = []
        cursor, older = "", 0
        while older < THREADS_LOOKED_AT:
            args: JsonDict = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
            answer = await team.read_channel(channel, "conversations.history", **args)
            for message in filter(_has_time, dicts(answer.get("messages"))):
                latest, ts = text_of(message.get("latest_reply")), str(message["ts"])
                older += ms_of(ts) < after_ms
                if latest and ms_of(latest) >= after_ms:
                    found.append((ThreadId(ts), MessageId(ts), text_of(message.get("text"))[:50]))
            cursor = text_of((answer.get("response_metadata") or {}).get("next_cursor"))
            if not cursor:
                break
        return found

    async def _read(self, team: Team, channel: ChannelId, raw: list[JsonDict]) -> tuple[Message, ...]:
        read: list[Message] = []
        for each in raw:
            message = await self._messages.read(team, local_part(channel), each, is_whole=True)
            if message is not None:
                read.append(message)
        return tuple(read)


def _keep(kept: "OrderedDict[tuple[str, str, str], Read]", key: tuple[str, str, str], read: Read) -> None:
    kept[key] = read
    while len(kept) > MAX_HELD:
        kept.popitem(last=False)


def _has_time(message: dict[str, Any]) -> bool:
    try:
        return float(message["ts"]) > 0
    except (KeyError, TypeError, ValueError):
        return False
