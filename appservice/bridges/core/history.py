"""Messages of before, and of while the bridge was away: read in the network's own pace, shown as if they had just come.

Of each channel a mark tells up to where it has been seen (storage/bridges_marks.py). While something may have been
missed the mark stays, whatever comes by itself: catching up begins there, and moves it page by page, so that it may be
cut off at any moment, and however often. Everything here may be done again: what is in the map is compared, not shown
twice.
"""

import logging
import math
from typing import Any

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, MessageId, ThreadId
from appservice.bridges.core.incoming import Deleted, HistoryPage, Message
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import MessagesIn
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.reactions_in import ReactionsIn
from appservice.bridges.core.turns import Turns
from storage import bridges_marks as marks
from storage import bridges_messages as rows
from storage.bridges import PortalRow
from storage.bridges_marks import Mark

# What networks give at once at most.
_PAGE = 100
# So many messages come by themselves before the mark is moved: what has come anyway is read again, and compared.
_MARK_EVERY = 100
# So far the network's clock may be behind.
_SKEW_MS = 60_000

logger = logging.getLogger(__name__)


class History:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self, *, context: Context, turns: Turns, message_map: MessageMap, messages_in: MessagesIn,
        reactions_in: ReactionsIn, notices: Notices,
    ) -> None:  # fmt: skip
        self._context, self._turns, self._map = context, turns, message_map
        self._messages, self._reactions, self._notices = messages_in, reactions_in, notices
        # Messages that have come by themselves, by channel, since its mark was moved.
        self._unmarked: dict[str, int] = {}

    async def _page(self, channel: ChannelId, limit: int, **at: Any) -> HistoryPage:
        history = self._context.network.history
        return await self._turns.read(channel, lambda: history(channel, limit=limit, **at))

    async def begin(self, portal: PortalRow) -> None:
        """The newest messages into a new room."""
        channel, count = ChannelId(portal.channel_id), self._context.settings.backfill.initial
        found: list[Message] = []
        before: MessageId | None = None
        while len(found) < count:
            page = await self._page(channel, min(_PAGE, count - len(found)), before=before)
            found = [*page.messages, *found]
            if page.next is None or not page.messages:
                break
            before = page.messages[0].id
        for message in found:
            await self._show(portal, message)
        # Where no message is wanted, the newest is where the room begins.
        newest = found if count else (await self._page(channel, 1)).messages
        now_ms = newest[-1].sent_ms if newest else self._context.clock.now_ms() - _SKEW_MS
        at = (newest[-1].id, newest[-1].sent_ms) if newest else (marks.BEGINNING, 0)
        await self._context.store.run(marks.begin, channel, *at, now_ms)

    async def saw(self, channel: ChannelId, message: MessageId, sent_ms: int) -> None:
        """It has come by itself, in no thread."""
        count = self._unmarked.get(channel, 0) + 1
        if count >= _MARK_EVERY:
            await self._context.store.run(marks.saw, channel, message, sent_ms)
            count = 0
        self._unmarked[channel] = count

    async def _move(self, channel: ChannelId, newest: Message) -> None:
        await self._context.store.run(marks.move, channel, newest.id, newest.sent_ms)

    async def _show(self, portal: PortalRow, message: Message) -> None:
        await self._messages.add(portal, message)
        await self._reactions.reconcile(portal, message)
        for vote in message.poll_votes or ():
            await self._reactions.vote(portal, vote)

    # --- catching up

    async def catch_up(self, portal: PortalRow) -> None:
        """What came after the mark; and what has become of the newest messages that were known."""
        channel = ChannelId(portal.channel_id)
        mark = await self._context.store.read(marks.find, channel)
        if mark is None or not mark.missed:
            # Another time has made up for it.
            return
        if mark.message_id:
            await self._channel(portal, channel, mark)
            await self._threads(portal, channel, mark.since_ms)
        else:
            await self.begin(portal)
        await self._context.store.run(marks.caught_up, channel, mark.missed)

    async def _channel(self, portal: PortalRow, channel: ChannelId, mark: Mark) -> None:
        count = self._context.settings.backfill.look_back
        if count:
            page = await self._page(channel, count)
            if _reaches(page, mark):
                # Most often little was missed, and one page holds it.
                await self._compare(portal, page, mark.sent_ms, is_newest=True)
                if page.messages:
                    await self._move(channel, page.messages[-1])
                return
        await self._forward(portal, channel, mark)

    async def _forward(self, portal: PortalRow, channel: ChannelId, mark: Mark) -> None:
        limit = self._context.settings.backfill.catch_up
        left = math.inf if limit is None else limit
        after, at, has_looked_back = MessageId(mark.message_id), None, False
        while True:
            page = await self._page(channel, _PAGE, after=after, page=at)
            if page.messages and not has_looked_back:
                await self._look_back(portal, channel, page.messages[0].id, mark.since_ms)
                has_looked_back = True
            for message in page.messages[: int(min(len(page.messages), left))]:
                await self._show(portal, message)
            left -= len(page.messages)
            if page.messages:
                await self._move(channel, page.messages[-1])
            is_last = page.next is None or page.next == at
            if left < 0 or (left == 0 and not is_last):
                logger.warning("%s: not everything that was missed is made up for (`catch_up`)", channel)
                text = f"⚠ More was missed here than {limit} messages: the rest is left out."
                await self._notices.say(portal.room_id, text)
                return
            if is_last:
                return
            at = page.next

    async def _look_back(self, portal: PortalRow, channel: ChannelId, before: MessageId, since_ms: int) -> None:
        count = self._context.settings.backfill.look_back
        if count:
            await self._compare(portal, await self._page(channel, count, before=before), since_ms, is_newest=False)

    async def _compare(self, portal: PortalRow, page: HistoryPage, since_ms: int, *, is_newest: bool) -> None:
        """What is new, and edits, deletions and reactions of what is known.

        And messages between those that are known, which something newer has overtaken.
        """
        is_since_beginning = False
        for message in page.messages:
            is_known = await self._map.is_known(message.channel, message.id)
            is_since_beginning = is_since_beginning or is_known
            if is_known or is_since_beginning or message.sent_ms >= since_ms:
                await self._show(portal, message)
        if page.is_complete and page.messages:
            await self._find_deleted(portal, page, is_newest=is_newest)

    async def _find_deleted(self, portal: PortalRow, page: HistoryPage, *, is_newest: bool) -> None:
        there = {message.id for message in page.messages}
        first_ms, last_ms = page.messages[0].sent_ms, page.messages[-1].sent_ms
        known = await self._context.store.read(rows.newest, portal.channel_id, 4 * len(page.messages))
        for row in known:
            # Of equal times the order is unknown: what stands at the edge may lie outside.
            is_inside = first_ms < row.sent_ms and (is_newest or row.sent_ms < last_ms) and row.thread_id is None
            if is_inside and not row.is_deleted and not row.is_ours and row.message_id not in there:
                gone = Deleted(channel=ChannelId(portal.channel_id), id=MessageId(row.message_id))
                await self._messages.delete(portal, gone)

    async def _threads(self, portal: PortalRow, channel: ChannelId, since_ms: int) -> None:
        threads = self._context.network.threads
        for thread, root, _ in await self._turns.read(channel, lambda: threads(channel, since_ms)):
            known = await self._context.store.read(rows.newest_in_thread, channel, thread, since_ms)
            after = root if known is None else MessageId(known.message_id)
            await self._thread(portal, channel, thread, after or MessageId(marks.BEGINNING), since_ms)

    async def _thread(
        self, portal: PortalRow, channel: ChannelId, thread: ThreadId, after: MessageId, since_ms: int
    ) -> None:
        at: str | None = None
        while True:
            page = await self._page(channel, _PAGE, after=after, thread=thread, page=at)
            for message in page.messages:
                # Of a thread that is older than the room, only what is new.
                if message.sent_ms >= since_ms or await self._map.is_known(channel, message.id):
                    await self._show(portal, message)
            if page.next is None or page.next == at:
                return
            at = page.next


def _reaches(page: HistoryPage, mark: Mark) -> bool:
    """Does the newest page hold all that came after the mark?"""
    if page.next is None or any(message.id == mark.message_id for message in page.messages):
        return True
    return bool(page.messages) and page.messages[0].sent_ms < mark.sent_ms
