"""Rooms that people bridge and unbridge, and look for: for the management room and the API alike."""

from collections.abc import Sequence

from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import InUse, NotAllowed, NotThere
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.inbox import Inbox
from appservice.bridges.core.incoming import Channel
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import Actor
from appservice.bridges.core.outgoing import Author
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.rooms import Rooms
from appservice.bridges.core.spaces import Spaces
from matrix.ids import UserId
from storage.bridges import PortalRow
from storage.bridges_inbox import OWN, Accepted


class Bridging:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, rooms: Rooms, spaces: Spaces, authors: Authors, logins: Logins,
        inbox: Inbox,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._rooms = context, portals, rooms
        self._spaces, self._authors, self._logins, self._inbox = spaces, authors, logins, inbox

    async def author(self, user_id: str, room_id: str) -> Author:
        return await self._authors.of(user_id, room_id)

    async def find(self, text: str, author: Author) -> Channel:
        """The channel that people call so."""
        channel = await self._context.network.find_channel(text, author)
        if channel is None:
            raise NotThere(f"there is no channel {text}, or the bridge cannot see it")
        return channel

    def may_see(self, user_id: str, channel: Channel) -> bool:
        """What is not public on the network is open to its members only, who have signed in, and to admins."""
        if channel.is_public or self._context.settings.level_of(user_id) == "admin":
            return True
        members = channel.members or ()
        return any(row.lost is None and row.person_id in members for row in self._logins.of_user(user_id))

    async def open_for(self, user_id: str, channel: Channel) -> PortalRow:
        """The room of the channel, to which the user is invited."""
        self._check_sees(user_id, channel)
        return await self.open(channel.id, user_id)

    def _check_sees(self, user_id: str, channel: Channel) -> None:
        if not self.may_see(user_id, channel):
            raise NotAllowed("that channel is not public: only its members who have signed in may open it")

    async def bridge(self, user_id: str, room_id: str, channel: Channel) -> PortalRow:
        """Makes a room of theirs the channel's."""
        await self._check_may(user_id, room_id)
        self._check_sees(user_id, channel)
        if (there := self._portals.of_room(room_id)) is not None:
            raise InUse(f"this room is bridged already, to {there.shown.get('name', there.channel_id)}")
        portal = self._portals.of_channel(channel.id)
        if portal is not None:
            raise InUse(f"that channel is bridged already, to {portal.room_id}")
        await self._context.network.join(channel.id)
        return await self._rooms.take_over(channel, room_id, is_made=False)

    async def open(self, channel: ChannelId, user_id: str | None) -> PortalRow:
        """The room of the channel, made if there is none; the user is invited."""
        portal, is_new = await self._rooms.ensure(channel, is_asked=True)
        assert portal is not None
        if is_new:
            await self._context.network.join(channel)
            await self._inbox.accept([Accepted(queue=channel, source=OWN, payload={"task": "begin"})])
        if user_id is not None:
            await self._portals.invite(portal.room_id, [user_id])
        return portal

    async def unbridge(self, user_id: str, portal: PortalRow) -> None:
        """The room stays, without the people of the network; one that the bridge made is closed."""
        await self._check_may(user_id, portal.room_id)
        matrix, bot = self._context.matrix, self._context.bot
        if portal.space_id is not None:
            await self._spaces.take_out(portal.space_id, portal.room_id)
        if portal.shown.get("listed"):
            await matrix.list_room(bot, self._context.network.name, portal.room_id, False)
        await self._portals.remove(portal.channel_id)
        await matrix.delete_alias(bot, self._context.aliases.fill(portal.channel_id))
        for member in await matrix.joined(bot, portal.room_id):
            if self._context.users.matches(member):
                ghost = Actor(UserId(member), bot.token)
                await matrix.leave(ghost, portal.room_id, "no longer bridged")

    async def _check_may(self, user_id: str, room_id: str) -> None:
        """Only who may change the room's state bridges it."""
        if self._context.settings.level_of(user_id) == "admin":
            return
        if self._context.settings.level_of(user_id) != "user":
            raise NotAllowed("you may not do that with this bridge")
        levels = await self._context.matrix.state(self._context.bot, room_id, "m.room.power_levels") or {}
        create = await self._context.matrix.state(self._context.bot, room_id, "m.room.create") or {}
        users = levels.get("users", {})
        level = users.get(user_id, levels.get("users_default", 0)) if isinstance(users, dict) else 0
        is_creator = user_id in (create.get("additional_creators") or ()) or await self._made(user_id, room_id)
        if not is_creator and level < levels.get("state_default", 50):
            raise NotAllowed("you need the power to change this room's settings")

    async def _made(self, user_id: str, room_id: str) -> bool:
        """From version 12 on who made the room is above all levels."""
        events = await self._context.matrix.whole_state(self._context.bot, room_id, "m.room.create")
        version = events.get("content", {}).get("room_version", "1")
        return events.get("sender") == user_id and version not in map(str, range(1, 12))

    async def search(self, user_id: str, term: str, limit: int) -> Sequence[tuple[Channel, PortalRow | None]]:
        """Channels by name, each with its room if it has one."""
        found = await self._context.network.search_channels(term, limit)
        seen = [channel for channel in found if self.may_see(user_id, channel)]
        return [(channel, self._portals.of_channel(channel.id)) for channel in seen[:limit]]

    async def bring_older(self, user_id: str, portal: PortalRow, count: int) -> None:
        """As soon as it is its turn."""
        await self._check_may(user_id, portal.room_id)
        task = {"task": "older", "count": count}
        await self._inbox.accept([Accepted(queue=portal.channel_id, source=OWN, payload=task)])

    async def refresh(self, portal: PortalRow) -> None:
        """Makes the room like its channel, and looks for what was missed."""
        channel = await self._context.network.channel(ChannelId(portal.channel_id))
        await self._rooms.update(channel)
        await self._inbox.catch_up([portal.channel_id])
