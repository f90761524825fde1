"""Messages of before, and of while the bridge was away: read in the network's own pace, shown as if they had just come.

Everything here may be done again: what is in the map is compared, not shown twice.
"""

import logging

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, MessageId, ThreadId
from appservice.bridges.core.incoming import Deleted, HistoryPage, Message
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import MessagesIn
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.reactions_in import ReactionsIn
from storage import bridges_messages as rows
from storage.bridges import PortalRow

# What networks give at once at most.
_PAGE = 100
# Threads that are looked at after a time without connection.
_MAX_THREADS = 50

logger = logging.getLogger(__name__)


class History:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self,
        *,
        context: Context,
        portals: Portals,
        message_map: MessageMap,
        messages_in: MessagesIn,
        reactions_in: ReactionsIn,
    ) -> None:
        self._context, self._portals, self._map = context, portals, message_map
        self._messages, self._reactions = messages_in, reactions_in

    async def begin(self, portal: PortalRow) -> None:
        """The newest messages into a new room."""
        count = self._context.settings.backfill.initial
        found: list[Message] = []
        before: MessageId | None = None
        while len(found) < count:
            limit = min(_PAGE, count - len(found))
            page = await self._context.network.history(ChannelId(portal.channel_id), limit=limit, before=before)
            found = [*page.messages, *found]
            if page.next is None or not page.messages:
                break
            before = page.messages[0].id
        for message in found:
            await self._show(portal, message)

    async def _show(self, portal: PortalRow, message: Message) -> None:
        await self._messages.add(portal, message)
        await self._reactions.reconcile(portal, message)
        for vote in message.poll_votes or ():
            await self._reactions.vote(portal, vote)

    async def catch_up(self, portal: PortalRow, after: str | None, since_ms: int) -> None:
        """What came after that message; and what has become of the newest ones that are known."""
        channel = ChannelId(portal.channel_id)
        if after is None:
            await self.begin(portal)
            return
        await self._look_back(portal, channel, since_ms)
        await self._forward(portal, channel, MessageId(after), None)
        threads = await self._context.network.threads(channel, since_ms)
        for thread, root, _ in threads[:_MAX_THREADS]:
            await self._forward(portal, channel, await self._newest_in(channel, thread, root), thread)

    async def _newest_in(self, channel: ChannelId, thread: ThreadId, root: MessageId | None) -> MessageId | None:
        known = await self._context.store.read(rows.newest_in_thread, channel, thread)
        return root if known is None else MessageId(known.message_id)

    async def _forward(
        self, portal: PortalRow, channel: ChannelId, after: MessageId | None, thread: ThreadId | None
    ) -> None:
        left = self._context.settings.backfill.catch_up
        page: HistoryPage | None = None
        while left > 0:
            page = await self._context.network.history(
                channel, limit=min(_PAGE, left), after=after, thread=thread, page=None if page is None else page.next
            )
            for message in page.messages:
                await self._show(portal, message)
            left -= len(page.messages)
            if page.next is None or not page.messages:
                return
        logger.warning("%s: not everything that was missed is made up for", channel)

    async def _look_back(self, portal: PortalRow, channel: ChannelId, since_ms: int) -> None:
        """Edits, deletions and reactions that were missed, of the newest messages.

        And messages between those that are known: something newer may have come before this had its turn.
        """
        count = self._context.settings.backfill.look_back
        if count == 0:
            return
        page = await self._context.network.history(channel, limit=count)
        is_since_beginning = False
        for message in page.messages:
            is_known = await self._map.is_known(channel, message.id)
            is_since_beginning = is_since_beginning or is_known
            if is_known or (is_since_beginning and message.sent_ms <= since_ms):
                await self._show(portal, message)
        if page.is_complete and page.messages:
            await self._find_deleted(portal, page)

    async def _find_deleted(self, portal: PortalRow, page: HistoryPage) -> None:
        there = {message.id for message in page.messages}
        first_ms = page.messages[0].sent_ms
        known = await self._context.store.read(rows.newest, portal.channel_id, 4 * len(page.messages))
        for row in known:
            # Of equal times the order is unknown: what stands at the edge may lie outside. The page reaches to the
            # newest message, so that there is no other edge.
            is_inside = first_ms < row.sent_ms and row.thread_id is None
            if is_inside and not row.is_deleted and not row.is_ours and row.message_id not in there:
                gone = Deleted(channel=ChannelId(portal.channel_id), id=MessageId(row.message_id))
                await self._messages.delete(portal, gone)

    async def newest_known(self, channel: str) -> tuple[str, int] | None:
        """(message, time) of the newest message of the channel itself that is known.

        What the bridge has sent says nothing of what came before it: it is sent without a connection too.
        """
        found = await self._context.store.read(rows.newest, channel, 200)
        of_channel = [row for row in found if row.thread_id is None]
        row = next((row for row in of_channel if not row.is_ours), next(iter(of_channel or found), None))
        return None if row is None else (row.message_id, row.sent_ms)
