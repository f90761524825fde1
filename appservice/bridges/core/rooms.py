"""Rooms for channels: made, or taken over; and how they follow what the channel is."""

import logging
from typing import Any

from attrs import evolve

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.incoming import Channel, ChannelKind
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.media import Media
from appservice.bridges.core.members import Members
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.spaces import Spaces
from homeserver.runtime.caches import Lru
from homeserver.runtime.linearizer import Linearizer
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
# How long it is not asked again whether a channel is to have a room.
_UNWANTED_S = 600.0
# In what is shown: what was begun with the room and is not done.
MAKING, BEGINNING = "making", "beginning"

logger = logging.getLogger(__name__)


class Rooms:
    """Makes portals and keeps them like their channels. Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, members: Members, spaces: Spaces, media: Media,
        logins: Logins,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._people, self._members = context, portals, people, members
        self._spaces, self._media, self._logins = spaces, media, logins
        self._making = Linearizer()
        self._unwanted: Lru[str, bool] = Lru("bridge_unwanted", 10_000, context.clock, _UNWANTED_S)

    async def ensure(self, channel_id: ChannelId, *, is_asked: bool) -> tuple[PortalRow | None, bool]:
        """The portal, and whether it is new. None, if there is none and nobody `is_asked` for one.

        It is new until `has_begun`: what it is to begin with may have been cut off.
        """
        portal = self._portals.of_channel(channel_id)
        if portal is None and not is_asked and self._unwanted.get(channel_id):
            return None, False
        if portal is None or MAKING in portal.shown:
            async with self._making.of(channel_id):
                portal = await self._made(channel_id, is_asked=is_asked)
        return portal, portal is not None and BEGINNING in portal.shown

    async def _made(self, channel_id: ChannelId, *, is_asked: bool) -> PortalRow | None:
        portal = self._portals.of_channel(channel_id)
        if portal is not None and MAKING not in portal.shown:
            return portal
        channel = await self._context.network.channel(channel_id)
        if portal is not None:
            return await self._complete(portal, channel)
        if not is_asked and not self._is_wanted(channel):
            self._unwanted.set(channel_id, True)
            return None
        return await self._make(channel)

    async def has_begun(self, portal: PortalRow) -> PortalRow:
        """What it begins with is there."""
        return await self._portals.show(portal.channel_id, **{BEGINNING: None})

    def _is_wanted(self, channel: Channel) -> bool:
        """Without being asked for: all that is seen, if the settings say so; direct chats of who has signed in."""
        if channel.kind is not ChannelKind.CHANNEL:
            return any(self._logins.of_person(person) is not None for person in channel.members or ())
        return self._context.settings.portals.create == "seen"

    async def _make(self, channel: Channel) -> PortalRow:
        matrix, bot = self._context.matrix, self._context.bot
        body, shown = await self._creation(channel)
        try:
            room_id = await matrix.create_room(bot, body)
        except MatrixRefused as error:
            # Made by an attempt that was cut off.
            room_id = await matrix.resolve(bot, self._context.aliases.fill(channel.id)) or ""
            if error.errcode != "M_ROOM_IN_USE" or not room_id:
                raise
        return await self.take_over(channel, room_id, is_made=True, shown={**shown, BEGINNING: True})

    async def take_over(
        self, channel: Channel, room_id: str, *, is_made: bool, shown: JsonDict | None = None
    ) -> PortalRow:
        """The room is the channel's from now on."""
        row = PortalRow(
            channel_id=channel.id,
            room_id=room_id,
            kind=channel.kind.value,
            space_id=channel.space,
            is_made=is_made,
            shown={**(shown or {}), MAKING: True},
        )
        portal = await self._portals.put(row)
        return await self._complete(portal, channel)

    async def _complete(self, portal: PortalRow, channel: Channel) -> PortalRow:
        """What makes a room a portal; each step may be done again."""
        room_id, is_made = portal.room_id, portal.is_made
        self._portals.saw_membership(room_id, self._context.bot.user_id, True)
        await self._tell_of_bridge(portal, channel)
        await self._members.bring_logins_in(portal, channel)
        if channel.space is not None and is_made:
            await self._spaces.add(channel.space, room_id)
        await self._list(portal, channel)
        await self.update(channel)
        logger.info("%s is the room of %s", room_id, channel.id)
        return await self._portals.show(channel.id, **{MAKING: None})

    async def _creation(self, channel: Channel) -> tuple[JsonDict, JsonDict]:
        options, is_direct = self._context.settings.portals, channel.kind is not ChannelKind.CHANNEL
        name, topic = self._name(channel), channel.topic or ""
        state: list[JsonDict] = [
            {"type": "m.room.history_visibility", "content": {"history_visibility": "shared"}},
            {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}},
        ]
        mxc = await self._media.avatar(channel.avatar)
        if mxc is not None:
            state.append({"type": "m.room.avatar", "content": {"url": mxc}})
        body: JsonDict = {
            "preset": "public_chat" if self.is_open(channel) else "private_chat",
            "visibility": "private",
            "is_direct": is_direct,
            "room_alias_name": self._context.aliases.localpart(channel.id),
            "initial_state": state,
            "power_level_content_override": {"events": {"m.room.pinned_events": 0}} if is_direct else {},
        }
        if name:
            body["name"] = name
        if topic:
            body["topic"] = topic
        if not options.federate:
            body["creation_content"] = {"m.federate": False}
        shown = {"name": name, "topic": topic, "avatar": channel.avatar.id if mxc and channel.avatar else None}
        return body, {key: value for key, value in shown.items() if value}

    def is_open(self, channel: Channel) -> bool:
        """May everybody join the room?"""
        return bool(channel.is_public and channel.kind is ChannelKind.CHANNEL and self._context.settings.portals.public)

    def _name(self, channel: Channel) -> str:
        if not channel.name:
            return ""
        is_direct = channel.kind is not ChannelKind.CHANNEL
        return channel.name if is_direct else self._context.settings.portals.name.replace("{}", channel.name)

    async def _tell_of_bridge(self, portal: PortalRow, channel: Channel) -> None:
        """Source: MSC2346."""
        network = self._context.network
        content: JsonDict = {
            "bridgebot": self._context.bot.user_id,
            "creator": self._context.bot.user_id,
            "protocol": {"id": network.name, "displayname": network.title},
            "channel": {"id": channel.id, "displayname": channel.name or channel.id},
        }
        if network.third_party.icon.startswith("mxc://"):
            content["protocol"]["avatar_url"] = network.third_party.icon
        if channel.space is not None:
            content["network"] = {"id": channel.space}
        key = f"hearth://{network.name}/{channel.id}"
        for event_type in ("m.bridge", "uk.half-shot.bridge"):
            try:
                await self._context.matrix.put_state(self._context.bot, portal.room_id, event_type, content, key)
            except MatrixRefused as error:
                # A room that somebody bridged, in which the bot may not do that: it is a courtesy.
                logger.info("%s does not tell that it is bridged: %s", portal.room_id, error)

    async def _list(self, portal: PortalRow, channel: Channel) -> None:
        """In the network's directory, which clients show where rooms are looked for."""
        if not portal.is_made or channel.is_public is None:
            return
        is_listed = self.is_open(channel) and not channel.is_archived
        if portal.shown.get("listed", False) == is_listed:
            return
        try:
            await self._context.matrix.list_room(
                self._context.bot, self._context.network.name, portal.room_id, is_listed
            )
        except MatrixRefused as error:
            logger.info("%s is not in the directory: %s", portal.room_id, error)
            return
        await self._portals.show(portal.channel_id, listed=is_listed or None)

    async def update(self, channel: Channel, by: PersonId | None = None) -> None:
        """Makes the room show what is told of the channel. What was shown already is not shown again."""
        portal = self._portals.of_channel(channel.id)
        if portal is None:
            return
        if portal.is_made:
            await self._update_state(portal, channel, by)
            await self._list(self._portals.of_channel(channel.id) or portal, channel)
        if channel.space != portal.space_id and channel.space is not None:
            portal = self._portals.of_channel(channel.id) or portal
            if portal.space_id is not None:
                await self._spaces.take_out(portal.space_id, portal.room_id)
            await self._portals.put(evolve(portal, space_id=channel.space))
            await self._spaces.add(channel.space, portal.room_id)
        if portal.shown.get("gone") is not None and not channel.is_archived:
            await self._portals.show(channel.id, gone=None)
        await self._members.sync(self._portals.of_channel(channel.id) or portal, channel)

    async def _update_state(self, portal: PortalRow, channel: Channel, by: PersonId | None) -> None:
        name, shown = self._name(channel), portal.shown
        if name and name != shown.get("name"):
            await self._set_state(portal, "m.room.name", {"name": name}, by)
            await self._portals.show(channel.id, name=name)
        if channel.topic is not None and channel.topic != shown.get("topic", ""):
            await self._set_state(portal, "m.room.topic", {"topic": channel.topic}, by)
            await self._portals.show(channel.id, topic=channel.topic)
        if channel.avatar is not None and channel.avatar.id != shown.get("avatar"):
            mxc = await self._media.avatar(channel.avatar)
            if mxc is not None:
                await self._set_state(portal, "m.room.avatar", {"url": mxc}, by)
            await self._portals.show(channel.id, avatar=channel.avatar.id)

    async def _set_state(self, portal: PortalRow, event_type: str, content: JsonDict, by: PersonId | None) -> None:
        """As whoever did it, if they may in Matrix; else as the bot."""
        matrix, bot = self._context.matrix, self._context.bot
        if by is not None:
            actor = await self._people.actor(by)
            try:
                await self._portals.bring_in(portal.room_id, actor)
                await matrix.put_state(actor, portal.room_id, event_type, content)
                return
            except MatrixRefused:
                pass
        await matrix.put_state(bot, portal.room_id, event_type, content)

    async def rest(self, channel_id: ChannelId, reason: str) -> PortalRow | None:
        """The channel is gone: the room says so, once, and nothing more is tried. Gives the portal, if that is news."""
        portal = self._portals.of_channel(channel_id)
        if portal is None or portal.shown.get("gone") is not None:
            return None
        return await self._portals.show(channel_id, gone=reason or "gone")
