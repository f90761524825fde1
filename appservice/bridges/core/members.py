"""Who is in a portal, and what power they have: as the channel has it."""

import logging
from typing import Any

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.incoming import Channel, ChannelKind, MemberChanged, Power
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from appservice.bridges.core.outgoing import Login
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals, members_of
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
_NAMED = frozenset({"events_default", "state_default", "invite", "kick", "ban", "redact"})

logger = logging.getLogger(__name__)


class Members:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(self, *, context: Context, portals: Portals, people: People, logins: Logins) -> None:
        self._context, self._portals, self._people, self._logins = context, portals, people, logins

    async def bring_logins_in(self, portal: PortalRow, channel: Channel) -> None:
        """Users who have signed in are in the rooms of their channels: by themselves if we may, else by an invite."""
        members = set(channel.members or ())
        for login in self._logins.all():
            if login.person not in members:
                continue
            puppet = self._logins.puppet(login.person)
            if puppet is None:
                await self._portals.invite(portal.room_id, [login.user_id])
                continue
            await self._portals.bring_in(portal.room_id, puppet)
            if channel.kind is ChannelKind.DIRECT:
                others = [person for person in members if person != login.person]
                await self._mark_direct(puppet, portal.room_id, others)

    async def welcome(self, login: Login) -> None:
        """One has signed in: the rooms of the channels in which they are, are theirs too."""
        puppet = self._logins.puppet(login.person)
        for portal in self._portals.all():
            if login.person not in members_of(portal):
                continue
            try:
                if puppet is None:
                    await self._portals.invite(portal.room_id, [login.user_id])
                else:
                    await self._portals.bring_in(portal.room_id, puppet)
            except MatrixRefused as error:
                logger.info("%s does not come to %s: %s", login.user_id, portal.channel_id, error)

    async def _mark_direct(self, puppet: Actor, room_id: str, others: list[PersonId]) -> None:
        content = await self._context.matrix.account_data(puppet, "m.direct")
        key = self._people.ghost_id(others[0]) if others else self._context.bot.user_id
        rooms = content.get(key, [])
        if room_id not in rooms:
            await self._context.matrix.put_account_data(puppet, "m.direct", {**content, key: [*rooms, room_id]})

    async def sync(self, portal: PortalRow, channel: Channel) -> None:
        """Brings the room's members and powers in line with what is told of the channel."""
        if channel.members is not None:
            await self._sync_members(portal, channel)
        if channel.power is not None:
            await self.sync_power(self._portals.of_channel(channel.id) or portal, channel.power)

    async def _sync_members(self, portal: PortalRow, channel: Channel) -> None:
        assert channel.members is not None
        known = members_of(portal)
        wanted = list(channel.members[: self._context.settings.portals.max_members])
        everyone = set(channel.members)
        for person in wanted:
            if person not in known:
                await self._enter(portal, person, channel)
        for person in known:
            if person not in everyone:
                await self._exit(portal, person, "leave", None, None)
        kept = [person for person in known if person in everyone and person not in wanted]
        await self._portals.show(portal.channel_id, members=sorted({*wanted, *kept}))

    async def _enter(self, portal: PortalRow, person: PersonId, channel: Channel) -> None:
        if await self._people.is_ours(person, channel.people):
            return
        try:
            actor = await self._people.actor(person, channel.people)
            await self._portals.bring_in(portal.room_id, actor)
        except (MatrixRefused, NetworkError) as error:
            logger.info("%s is not shown in %s: %s", person, portal.channel_id, error)

    async def change(self, event: MemberChanged) -> None:
        """One has come, gone, or was put out."""
        portal = self._portals.of_channel(event.channel)
        if portal is None or await self._people.is_ours(event.person, event.people):
            return
        members = set(members_of(portal))
        if event.membership == "join":
            actor = await self._people.actor(event.person, event.people)
            if event.person not in members:
                # The homeserver may be telling still of the time before they were put out.
                self._portals.saw_membership(portal.room_id, actor.user_id, False)
            await self._portals.bring_in(portal.room_id, actor)
            members.add(event.person)
        elif event.membership == "invite":
            await self._portals.invite(portal.room_id, [(await self._people.actor(event.person, event.people)).user_id])
            return
        elif event.membership in ("ban", "unban"):
            await self._ban(portal, event)
            members.discard(event.person)
        else:
            await self._exit(portal, event.person, event.membership, event.by, event.reason)
            members.discard(event.person)
        await self._portals.show(event.channel, members=sorted(members))

    async def _exit(
        self, portal: PortalRow, person: PersonId, membership: str, by: PersonId | None, reason: str | None
    ) -> None:
        """As the person, if they went by themselves; else as who put them out, or the bot."""
        matrix = self._context.matrix
        actor = self._logins.puppet(person) or self._people.ghost(person)
        self._portals.saw_membership(portal.room_id, actor.user_id, False)
        try:
            if membership == "leave" and by in (None, person):
                await matrix.leave(actor, portal.room_id, reason)
                return
            await self._put_out(portal, actor.user_id, "kick", by, reason)
        except MatrixRefused as error:
            # Not there, or never made: then there is nothing to be shown.
            logger.info("%s does not leave %s: %s", person, portal.room_id, error)

    async def _ban(self, portal: PortalRow, event: MemberChanged) -> None:
        """Bans, or takes a ban back, of whom the room has seen, and if it is not so already."""
        actor = self._logins.puppet(event.person) or self._people.ghost(event.person)
        now = await self._context.matrix.state(self._context.bot, portal.room_id, "m.room.member", actor.user_id)
        is_banned = now is not None and now.get("membership") == "ban"
        if now is None or is_banned == (event.membership == "ban"):
            return
        self._portals.saw_membership(portal.room_id, actor.user_id, False)
        try:
            await self._put_out(portal, actor.user_id, event.membership, event.by, event.reason)
        except MatrixRefused as error:
            logger.info("No %s of %s in %s: %s", event.membership, event.person, portal.room_id, error)

    async def _put_out(
        self, portal: PortalRow, user_id: str, action: str, by: PersonId | None, reason: str | None
    ) -> None:
        matrix = self._context.matrix
        if by is not None:
            try:
                actor = await self._people.actor(by)
                await matrix.set_membership(actor, portal.room_id, action, user_id, reason)
                return
            except (MatrixRefused, NetworkError):
                pass
        await matrix.set_membership(self._context.bot, portal.room_id, action, user_id, reason)

    # --- power

    async def sync_power(self, portal: PortalRow, power: Power) -> None:
        """Roles as power levels. Those of Matrix users who have not signed in are left as they are."""
        told = {"people": dict(power.people), "default": power.default, "actions": dict(power.actions)}
        if portal.shown.get("power") == told:
            return
        matrix, bot = self._context.matrix, self._context.bot
        content = await matrix.state(bot, portal.room_id, "m.room.power_levels") or {}
        users = {user: level for user, level in content.get("users", {}).items() if not self._is_theirs(user)}
        for person, level in power.people.items():
            # Plain str: orjson takes no other keys.
            users[str(self._people.ghost_id(person))] = level
            login = self._logins.of_person(person)
            if login is not None and login.user_id not in content.get("users", {}):
                users[str(login.user_id)] = level
        now = {**content, "users": users}
        if portal.is_made:
            # A room that somebody bridged keeps its own rules.
            now |= _rules(content, power)
        try:
            if now != content:
                await matrix.put_state(bot, portal.room_id, "m.room.power_levels", now)
        except MatrixRefused as error:
            logger.warning("The powers of %s are not shown: %s", portal.channel_id, error)
        await self._portals.show(portal.channel_id, power=told)

    def _is_theirs(self, user_id: str) -> bool:
        return user_id != self._context.bot.user_id and self._context.users.matches(user_id)

    async def channel_power(self, channel: ChannelId, person: PersonId, level: int) -> None:
        """It was changed in Matrix, and on the network by our doing."""
        portal = self._portals.of_channel(channel)
        if portal is not None and isinstance(told := portal.shown.get("power"), dict):
            await self._portals.show(channel, power={**told, "people": {**told["people"], person: level}})


def _rules(content: JsonDict, power: Power) -> JsonDict:
    """What needs which power."""
    named = {action: level for action, level in power.actions.items() if action in _NAMED}
    events = {action: level for action, level in power.actions.items() if action not in _NAMED}
    return {**named, "users_default": power.default, "events": {**content.get("events", {}), **events}}
