"""Older messages than a room shows, put before its first one, where the homeserver can import history.

By batches under ids that are made of the messages' ids: a batch that is sent again imports nothing twice.

Source: com.beeper.backfill, as bridges of mautrix use it.
"""

from typing import Any

from attrs import evolve

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import ChannelId, MessageId
from appservice.bridges.core.incoming import HistoryPage, Message
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import Composed, MessagesIn
from appservice.bridges.core.names import txn_id
from appservice.bridges.core.people import People
from appservice.bridges.core.turns import Turns
from storage import bridges_messages as rows
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
FEATURE = "com.beeper.batch_sending"
_PAGE = 100
MAX_COUNT = 10_000


class Older:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self, *, context: Context, turns: Turns, people: People, message_map: MessageMap, messages_in: MessagesIn
    ) -> None:
        self._context, self._turns, self._people = context, turns, people
        self._map, self._messages = message_map, messages_in

    async def check(self) -> None:
        """Raises: Refused, where the homeserver cannot."""
        features = (await self._context.matrix.versions(self._context.bot)).get("unstable_features")
        if not isinstance(features, dict) or features.get(FEATURE) is not True:
            raise Refused("the homeserver cannot import history")

    async def bring(self, portal: PortalRow, count: int) -> int:
        """At most `count` messages before the oldest that is known; how many there were."""
        await self.check()
        channel, brought = ChannelId(portal.channel_id), 0
        oldest = await self._context.store.read(rows.oldest, portal.channel_id)
        before = None if oldest is None else MessageId(oldest.message_id)
        page: HistoryPage | None = None
        while brought < count and (page is None or page.next is not None):
            page = await self._page(channel, min(_PAGE, count - brought), before)
            if not page.messages:
                break
            await self._import(portal, [each for each in page.messages if not each.is_ours])
            before = page.messages[0].id
            brought += len(page.messages)
        return brought

    async def _page(self, channel: ChannelId, limit: int, before: MessageId | None) -> HistoryPage:
        history = self._context.network.history
        return await self._turns.read(channel, lambda: history(channel, limit=limit, before=before))

    async def _import(self, portal: PortalRow, messages: list[Message]) -> None:
        composed: list[Composed] = []
        claimed: dict[str, str] = {}
        for message in messages:
            if await self._map.is_known(message.channel, message.id):
                continue
            ghost = await self._people.ghost_of(message.sender, message.people)
            parts = await self._messages.compose(message, ghost)
            claimed[message.id] = _claim(parts[0]) if parts else ""
            composed += [evolve(part, content={**part.content, **_relation(message, claimed)}) for part in parts]
        if composed:
            events = [_event(part) for part in composed]
            body = {"forward": False, "send_notification": False, "events": events}
            ids = await self._context.matrix.batch(self._context.bot, portal.room_id, body)
            await self._map.put(*(evolve(part.row, event_id=id_) for part, id_ in zip(composed, ids, strict=True)))


def _claim(part: Composed) -> str:
    return "$" + txn_id("old", part.row.channel_id, part.row.message_id, part.row.part_id)


def _event(part: Composed) -> JsonDict:
    return {
        "event_id": _claim(part),
        "type": part.event_type,
        "sender": part.row.user_id,
        "origin_server_ts": part.row.sent_ms,
        "content": part.content,
    }


def _relation(message: Message, claimed: dict[str, str]) -> JsonDict:
    """To what stands in the same batch."""
    root = None if message.thread is None else claimed.get(message.thread)
    answered = None if message.reply_to is None else claimed.get(message.reply_to)
    if root and str(message.thread) != message.id:
        to = {"event_id": answered or root}
        is_falling_back = answered is None
        return {
            "m.relates_to": {
                "rel_type": "m.thread", "event_id": root, "is_falling_back": is_falling_back, "m.in_reply_to": to,
            }
        }  # fmt: skip
    return {"m.relates_to": {"m.in_reply_to": {"event_id": answered}}} if answered else {}
