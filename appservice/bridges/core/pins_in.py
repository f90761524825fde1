"""Pins of the network as m.room.pinned_events, and the other small things that a room shows."""

import logging
from collections.abc import Sequence

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, MessageId, PersonId
from appservice.bridges.core.incoming import Notice, PinChanged, Receipt
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import main_part
from appservice.bridges.core.names import txn_id
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from storage.bridges import PortalRow

logger = logging.getLogger(__name__)


class PinsIn:
    """Raises: NetworkError, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, logins: Logins, message_map: MessageMap
    ) -> None:
        self._context, self._portals, self._people = context, portals, people
        self._logins, self._map = logins, message_map

    async def change(self, portal: PortalRow, event: PinChanged) -> None:
        row = main_part(await self._map.of_message(event.channel, event.message))
        if row is None:
            return
        pins = [each for each in portal.shown.get("pins", []) if each != row.event_id]
        await self._put(portal, [*pins, row.event_id] if event.is_pinned else pins, event.by)

    async def sync(self, portal: PortalRow, channel: ChannelId, messages: Sequence[MessageId]) -> None:
        """These are all."""
        rows = [main_part(await self._map.of_message(channel, message)) for message in messages]
        await self._put(portal, [row.event_id for row in rows if row is not None], None)

    async def _put(self, portal: PortalRow, pins: list[str], by: PersonId | None) -> None:
        if pins == portal.shown.get("pins", []):
            return
        # First what is kept, then what is shown: the event that comes back must find nothing new.
        await self._portals.show(portal.channel_id, pins=pins)
        matrix, content = self._context.matrix, {"pinned": pins}
        if by is not None and not await self._people.is_ours(by):
            try:
                actor = await self._people.actor(by)
                await matrix.put_state(actor, portal.room_id, "m.room.pinned_events", content)
                return
            except MatrixRefused:
                pass
        try:
            await matrix.put_state(self._context.bot, portal.room_id, "m.room.pinned_events", content)
        except MatrixRefused as error:
            logger.warning("The pins of %s are not shown: %s", portal.channel_id, error)

    async def receipt(self, portal: PortalRow, event: Receipt) -> None:
        """A user who has signed in has read it there: then here too."""
        puppet = self._logins.puppet(event.person)
        found = await self._map.of_message(event.channel, event.message)
        if puppet is not None and found:
            try:
                await self._context.matrix.mark_read(puppet, portal.room_id, found[-1].event_id)
            except MatrixRefused as error:
                logger.info("A receipt is not shown: %s", error)

    async def notice(self, portal: PortalRow, event: Notice) -> None:
        content = {"msgtype": "m.notice", "m.mentions": {}, **event.content}
        txn = txn_id("notice", event.channel, sorted(map(str, event.content.items())))
        await self._portals.send_as(portal, self._context.bot, "m.room.message", content, txn, None)
