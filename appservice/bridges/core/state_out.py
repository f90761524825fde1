"""What changes of a room in Matrix, on the network: name, topic, picture, members, powers, pins.

What the room shows already of the channel is no change: that is how our own doing is told from a user's.
"""

import logging
from typing import Any

from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.media import Media
from appservice.bridges.core.members import Members
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.outgoing import ChannelSettings, MemberAction
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals, members_of
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
logger = logging.getLogger(__name__)


class StateOut:
    """Raises: NetworkError, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, members: Members, logins: Logins, authors: Authors,
        message_map: MessageMap,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._people = context, portals, people
        self._members, self._logins, self._authors, self._map = members, logins, authors, message_map

    async def set_text(self, portal: PortalRow, event: JsonDict, what: str) -> None:
        """`what`: name or topic."""
        text = event["content"].get(what)
        text = text if isinstance(text, str) else ""
        if text == portal.shown.get(what, ""):
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        settings = ChannelSettings(name=text) if what == "name" else ChannelSettings(topic=text)
        await self._context.network.set_channel(author, ChannelId(portal.channel_id), settings)
        await self._portals.show(portal.channel_id, **{what: text or None})

    async def set_avatar(self, portal: PortalRow, event: JsonDict, media: Media) -> None:
        author = await self._authors.of(event["sender"], portal.room_id)
        channel, url = ChannelId(portal.channel_id), event["content"].get("url")
        if not url:
            settings = ChannelSettings(removes_avatar=True)
            await self._context.network.set_channel(author, channel, settings)
            return
        file = {"url": url, "info": event["content"].get("info"), "body": "avatar"}
        async with media.outgoing(file, self._context.network.limits.file_bytes) as picture:
            await self._context.network.set_channel(author, channel, ChannelSettings(avatar=picture))

    # --- members

    async def change_member(self, portal: PortalRow, event: JsonDict) -> None:
        """A ghost was invited or put out; or one who has signed in came or went."""
        user_id, membership = event.get("state_key", ""), event["content"].get("membership")
        if event["sender"] == user_id:
            await self._own_membership(portal, user_id, membership)
            return
        person = self._people.person_of(user_id)
        action = _action(event, membership)
        if person is None or action is None or user_id == self._context.bot.user_id:
            return
        is_member = person in members_of(portal)
        # Bans hold for who is not there too, and end for them.
        if is_member if action == "invite" else action == "kick" and not is_member:
            await self._come(portal, user_id, action)
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        try:
            await self._context.network.set_member(author, ChannelId(portal.channel_id), person, action)
        except Refused:
            await self._undo(portal, user_id, action)
            raise
        await self._come(portal, user_id, action)
        members = {*members_of(portal)} - {person} if action != "invite" else {*members_of(portal), person}
        await self._portals.show(portal.channel_id, members=sorted(members))

    async def _come(self, portal: PortalRow, user_id: str, action: MemberAction) -> None:
        """A ghost that is invited comes."""
        person = self._context.users.read(user_id)
        if action == "invite" and person is not None:
            await self._portals.bring_in(portal.room_id, self._people.ghost(person))

    async def _undo(self, portal: PortalRow, user_id: str, action: MemberAction) -> None:
        """The network did not follow: the room shows what is so there."""
        person = self._context.users.read(user_id)
        if person is None:
            return
        if action == "invite":
            await self._context.matrix.leave(self._people.ghost(person), portal.room_id)
        elif action == "kick":
            self._portals.saw_membership(portal.room_id, user_id, False)
            await self._portals.bring_in(portal.room_id, self._people.ghost(person))

    async def _own_membership(self, portal: PortalRow, user_id: str, membership: object) -> None:
        login = self._logins.working(user_id)
        if login is None or membership not in ("join", "leave"):
            return
        is_member = membership == "join"
        if (login.person in members_of(portal)) == is_member:
            return
        await self._context.network.set_own_membership(login, ChannelId(portal.channel_id), is_member)
        members = {*members_of(portal), login.person} if is_member else {*members_of(portal)} - {login.person}
        await self._portals.show(portal.channel_id, members=sorted(members))

    # --- powers and pins

    async def change_power(self, portal: PortalRow, event: JsonDict) -> None:
        """Levels of people of the network that somebody changed."""
        told = portal.shown.get("power")
        users = event["content"].get("users")
        if not isinstance(users, dict) or not isinstance(told, dict):
            return
        for person, before, level in self._changed(told, users):
            author = await self._authors.of(event["sender"], portal.room_id)
            channel = ChannelId(portal.channel_id)
            try:
                await self._context.network.set_power(author, channel, person, level)
            except Refused:
                await self._put_back(portal, person, before)
                raise
            await self._members.channel_power(channel, person, level)

    def _changed(self, told: JsonDict, users: JsonDict) -> list[Any]:
        """(person, level before, level now)."""
        people, default = told.get("people", {}), told.get("default", 0)
        now: dict[str, int] = {}
        for user, level in users.items():
            person = self._people.person_of(user)
            if person is not None and isinstance(level, int):
                now[person] = level
        for person in people:
            now.setdefault(person, default)
        return [
            (person, people.get(person, default), level)
            for person, level in now.items()
            if level != people.get(person, default)
        ]

    async def _put_back(self, portal: PortalRow, person: str, level: int) -> None:
        matrix, bot = self._context.matrix, self._context.bot
        content = await matrix.state(bot, portal.room_id, "m.room.power_levels") or {}
        users = {**content.get("users", {}), self._people.ghost_id(person): level}
        await matrix.put_state(bot, portal.room_id, "m.room.power_levels", {**content, "users": users})

    async def change_pins(self, portal: PortalRow, event: JsonDict) -> None:
        pinned = event["content"].get("pinned")
        now = [each for each in pinned if isinstance(each, str)][:100] if isinstance(pinned, list) else []
        before: list[str] = portal.shown.get("pins", [])
        changed = [(each, True) for each in now if each not in before]
        changed += [(each, False) for each in before if each not in now]
        for event_id, is_pinned in changed:
            ref = await self._map.ref_of_event(event_id)
            if ref is not None:
                author = await self._authors.of(event["sender"], portal.room_id)
                await self._context.network.pin(author, ref, is_pinned)
            shown = self._portals.of_channel(portal.channel_id)
            pins = [] if shown is None else [each for each in shown.shown.get("pins", []) if each != event_id]
            await self._portals.show(portal.channel_id, pins=[*pins, event_id] if is_pinned else pins)


def _action(event: JsonDict, membership: object) -> MemberAction | None:
    before = event.get("unsigned", {}).get("prev_content", {})
    was = before.get("membership") if isinstance(before, dict) else None
    if membership == "invite":
        return "invite"
    if membership == "ban":
        return "ban"
    if membership == "leave":
        return "unban" if was == "ban" else "kick"
    return None
