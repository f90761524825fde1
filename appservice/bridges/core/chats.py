"""Invites: of the bot to a management room or a room to be bridged, of a ghost to a direct chat."""

import logging
from collections.abc import Iterable
from typing import Any

from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError, Temporary
from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.incoming import ChannelKind
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.rooms import Rooms
from matrix.ids import UserId
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
logger = logging.getLogger(__name__)


class Chats:
    """Raises: Temporary, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, rooms: Rooms, logins: Logins, authors: Authors,
        notices: Notices,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._people, self._rooms = context, portals, people, rooms
        self._logins, self._authors, self._notices = logins, authors, notices

    async def member(self, event: JsonDict) -> None:
        """A membership event of a room that is no portal."""
        user_id, membership = event.get("state_key"), event["content"].get("membership")
        if not isinstance(user_id, str):
            return
        if membership == "invite" and user_id == self._context.bot.user_id:
            await self._invite_of_bot(event)
        elif membership == "invite" and (person := self._context.users.read(user_id)) is not None:
            await self._invite_of_ghost(event, PersonId(person))
        elif membership in ("leave", "ban") and self._notices.manager_of(event["room_id"]) == user_id:
            await self._notices.forget(event["room_id"])
            try:
                await self._context.matrix.leave(self._context.bot, event["room_id"])
            except MatrixRefused as error:
                logger.info("The bot does not leave %s: %s", event["room_id"], error)

    async def _invite_of_bot(self, event: JsonDict) -> None:
        sender, room_id = event["sender"], event["room_id"]
        matrix, bot = self._context.matrix, self._context.bot
        if self._context.settings.level_of(sender) == "none":
            await matrix.leave(bot, room_id)
            return
        await matrix.join(bot, room_id)
        members = await matrix.joined(bot, room_id)
        network = self._context.network
        if event["content"].get("is_direct") is True or await self._is_chat(room_id, sender, members):
            await self._notices.manage(room_id, UserId(sender))
            text = f"Hello! This is the bridge to {network.title}. Say `help` to see what I can do."
        else:
            text = f"Say `!{network.name} bridge CHANNEL` to bridge this room to a channel of {network.title}."
        await self._notices.say(room_id, text, key=event["event_id"])

    async def _is_chat(self, room_id: str, sender: str, members: Iterable[str]) -> bool:
        """Two in a room without a name."""
        if not set(members) <= {sender, self._context.bot.user_id}:
            return False
        return await self._context.matrix.state(self._context.bot, room_id, "m.room.name") is None

    async def _invite_of_ghost(self, event: JsonDict, person: PersonId) -> None:
        """The room becomes the direct chat with them, unless there is one."""
        sender, room_id = event["sender"], event["room_id"]
        ghost = await self._people.ghost_of(person)
        try:
            await self._context.matrix.join(ghost, room_id)
        except MatrixRefused as error:
            logger.info("%s does not come to %s: %s", person, room_id, error)
            return
        try:
            author = await self._authors.of(sender, room_id)
            channel = await self._context.network.open_direct(author, [person])
        except Temporary:
            raise
        except NetworkError as error:
            await self._refuse(ghost.user_id, room_id, f"There is no chat with them: {error}.")
            return
        portal = self._portals.of_channel(channel.id)
        if portal is not None:
            await self._point_to(portal, ghost.user_id, room_id, sender)
            return
        await self._take_bot_in(ghost.user_id, room_id)
        await self._rooms.take_over(channel, room_id, is_made=False)
        if channel.kind is not ChannelKind.DIRECT:
            logger.info("The chat with %s is a %s", person, channel.kind.value)

    async def _take_bot_in(self, ghost_id: UserId, room_id: str) -> None:
        """The bot hears for the bridge; where the ghost may not invite it, the ghost's own ear must do."""
        matrix, bot, ghost = self._context.matrix, self._context.bot, self._people.actor_of(ghost_id)
        try:
            await matrix.set_membership(ghost, room_id, "invite", bot.user_id)
            await matrix.join(bot, room_id)
        except MatrixRefused as error:
            logger.info("The bot does not come to %s: %s", room_id, error)

    async def _refuse(self, ghost_id: UserId, room_id: str, text: str) -> None:
        matrix, ghost = self._context.matrix, self._people.actor_of(ghost_id)
        content = {"msgtype": "m.notice", "body": text, "m.mentions": {}}
        await matrix.send(ghost, room_id, "m.room.message", content, f"refused{room_id[1:20]}")
        await matrix.leave(ghost, room_id)

    async def _point_to(self, portal: PortalRow, ghost_id: UserId, room_id: str, sender: str) -> None:
        await self._portals.invite(portal.room_id, [sender])
        await self._refuse(ghost_id, room_id, f"There is a room for this chat already: {portal.room_id}")

    async def start(self, user_id: str, room_id: str, person: PersonId) -> PortalRow:
        """A direct chat that was asked for by a command or the API. Raises: NetworkError."""
        author = await self._authors.of(user_id, room_id)
        channel = await self._context.network.open_direct(author, [person])
        portal, _ = await self._rooms.ensure(channel.id, is_asked=True)
        assert portal is not None
        await self._portals.invite(portal.room_id, [user_id])
        return portal

    async def leave_portal(self, portal: PortalRow) -> None:
        """The bot was put out: the room is no longer bridged."""
        await self._portals.remove(portal.channel_id)
        logger.warning("The bot was put out of %s: %s is no longer bridged", portal.room_id, portal.channel_id)
