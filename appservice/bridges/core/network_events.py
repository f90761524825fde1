"""What the network told, to whoever shows it."""

import logging

from attrs import frozen

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import ChannelGone
from appservice.bridges.core.history import History
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.incoming import (
    ChannelChanged,
    ChannelRemoved,
    Deleted,
    Delivery,
    Edited,
    EmojiChanged,
    MemberChanged,
    Message,
    Notice,
    PersonChanged,
    PinChanged,
    PollEnded,
    ReactionChanged,
    ReactionsCleared,
    Receipt,
    RemoteEvent,
    SpaceChanged,
    SpaceRemoved,
    ThreadStarted,
    VoteChanged,
    Voted,
)
from appservice.bridges.core.members import Members
from appservice.bridges.core.messages_in import MessagesIn
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.older import Older
from appservice.bridges.core.packs import Packs
from appservice.bridges.core.people import People
from appservice.bridges.core.pins_in import PinsIn
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.reactions_in import ReactionsIn
from appservice.bridges.core.rooms import Rooms
from appservice.bridges.core.spaces import Spaces
from storage.bridges import PortalRow
from storage.bridges_inbox import Waiting

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Shown:
    """The parts that show things."""

    portals: Portals
    rooms: Rooms
    people: People
    members: Members
    messages: MessagesIn
    reactions: ReactionsIn
    pins: PinsIn
    history: History
    older: Older
    spaces: Spaces
    packs: Packs
    notices: Notices


class NetworkEvents:
    """Handles deliveries of the inbox. Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(self, *, context: Context, shown: Shown) -> None:
        self._context = context
        self._to = shown

    async def handle(self, item: Waiting) -> None:
        queue = item.payload["queue"]
        delivery = Delivery(queue=None if queue is None else ChannelId(queue), payload=item.payload["payload"])
        events = await self._context.network.read(delivery)
        for event in events:
            await self._show(event, item if len(events) == 1 else None)

    async def _show(self, event: RemoteEvent, item: Waiting | None) -> None:
        """One event; of the item there is no other."""
        if isinstance(event, Message):
            await self._message(event, item)
        elif isinstance(event, ChannelChanged | ChannelRemoved):
            await self._channel(event)
        elif isinstance(event, PersonChanged | SpaceChanged | SpaceRemoved | EmojiChanged):
            await self._beyond_channels(event)
        else:
            channel = event.message.channel if isinstance(event, Edited) else event.channel
            portal = self._to.portals.of_channel(channel)
            if portal is not None:
                await self._in_portal(portal, event)

    async def _message(self, message: Message, item: Waiting | None) -> None:
        try:
            portal, is_new = await self._to.rooms.ensure(message.channel, is_asked=False)
        except ChannelGone:
            return
        if portal is None:
            return
        if portal.shown.get("gone") is not None:
            portal = await self._to.portals.show(message.channel, gone=None)
        if is_new:
            await self.begin(portal)
            portal = self._to.portals.of_channel(message.channel) or portal
        await self._to.messages.add(portal, message, item if not message.reactions else None)
        if message.reactions:
            await self._to.reactions.reconcile(portal, message)
        if message.thread is None:
            await self._to.history.saw(message.channel, message.id, message.sent_ms)

    async def complete(self, portal: PortalRow) -> None:
        """What a room that was asked for begins with; also one whose making was cut off."""
        found, is_new = await self._to.rooms.ensure(ChannelId(portal.channel_id), is_asked=True)
        if found is not None and is_new:
            await self.begin(found)

    async def bring_older(self, portal: PortalRow, count: int) -> None:
        """Messages from before the first that the room shows; the room is told how many."""
        brought = await self._to.older.bring(portal, count)
        text = f"{brought} older messages were brought in." if brought else "There are no older messages."
        await self._to.notices.say(portal.room_id, text)

    async def begin(self, portal: PortalRow) -> None:
        """What a new room begins with."""
        await self._to.history.begin(portal)
        portal = await self._to.rooms.has_begun(portal)
        channel = await self._context.network.channel(ChannelId(portal.channel_id))
        if channel.pins is not None:
            await self._to.pins.sync(self._to.portals.of_channel(channel.id) or portal, channel.id, channel.pins)

    async def _in_portal(self, portal: PortalRow, event: RemoteEvent) -> None:  # noqa: C901  a table in words
        to = self._to
        match event:
            case Edited(message=message):
                await to.messages.edit(portal, message)
            case Deleted():
                await to.messages.delete(portal, event)
            case ReactionChanged():
                await to.reactions.change(portal, event)
            case ReactionsCleared():
                await to.reactions.clear(portal, event)
            case ThreadStarted():
                await to.messages.start_thread(portal, event)
            case Receipt():
                await to.pins.receipt(portal, event)
            case PinChanged():
                await to.pins.change(portal, event)
            case Voted():
                await to.reactions.vote(portal, event)
            case VoteChanged():
                await to.reactions.change_vote(portal, event)
            case PollEnded():
                await to.reactions.end_poll(portal, event)
            case MemberChanged():
                await to.members.change(event)
            case Notice():
                await to.pins.notice(portal, event)

    async def _channel(self, event: ChannelChanged | ChannelRemoved) -> None:
        if isinstance(event, ChannelRemoved):
            await self.rest(event.channel, event.reason)
            return
        channel = event.channel
        await self._to.rooms.update(channel, event.by)
        portal = self._to.portals.of_channel(channel.id)
        if portal is not None and channel.pins is not None:
            await self._to.pins.sync(portal, channel.id, channel.pins)
        if channel.is_archived:
            await self.rest(channel.id, "the channel was archived")

    async def rest(self, channel: ChannelId, reason: str) -> None:
        """The channel is gone; its room says so."""
        portal = await self._to.rooms.rest(channel, reason)
        if portal is not None:
            text = f"This channel is no longer bridged: {reason or 'it is gone'}."
            await self._to.notices.say(portal.room_id, text)
            await self._to.notices.tell_admins(f"The channel {portal.shown.get('name', channel)}: {reason or 'gone'}.")

    async def _beyond_channels(self, event: PersonChanged | SpaceChanged | SpaceRemoved | EmojiChanged) -> None:
        match event:
            case PersonChanged(person=person):
                await self._to.people.update(person)
            case SpaceChanged(space=space):
                await self._to.spaces.update(space)
            case SpaceRemoved(space=gone):
                await self._to.spaces.remove(gone)
                for portal in self._to.portals.all():
                    if portal.space_id == gone:
                        await self.rest(ChannelId(portal.channel_id), "the bridge is no longer in that space")
            case EmojiChanged(space=changed):
                await self._to.packs.publish(changed)
