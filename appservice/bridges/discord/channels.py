"""Channels, as core sees them: names, topics, members, powers, pins; and what is changed of them from Matrix."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appservice.bridges.core.errors import (
    ChannelGone,
    MissingPermission,
    NetworkError,
    NotThere,
    Refused,
    Temporary,
    Unsupported,
)
from appservice.bridges.core.ids import ChannelId, MessageId, PersonId, SpaceId
from appservice.bridges.core.incoming import Channel, ChannelKind, Power, RemoteEmoji, RemotePerson, Space
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author, ChannelSettings, MemberAction
from appservice.bridges.discord import powers, shapes
from appservice.bridges.discord.directory import CATEGORY, SHOWN, THREADS, Directory, Guild
from appservice.bridges.discord.directs import Directs, conversation_of
from appservice.bridges.discord.rest import Rest

Json = dict[str, Any]

# A guild of a million members: whom it shows is for Matrix to bound; powers are those of the first so many.
MAX_MEMBERS, PAGE = 5_000, 1000
_MAX_NAME, _MAX_TOPIC = 100, 1024
_MAX_PINS, _PINS_PAGE = 250, 50
_PINS = "/channels/{channel_id}/messages/pins"


class Channels:
    """Raises: NetworkError."""

    def __init__(
        self,
        *,
        bridge: Bridge,
        rest: Rest,
        directory: Directory,
        directs: Directs,
        cdn: str,
        levels: Mapping[str, int],
        shows_members: bool,
    ) -> None:
        self._bridge, self._rest, self._directory, self._directs = bridge, rest, directory, directs
        self._cdn, self._levels, self._shows_members = cdn, levels, shows_members
        # The members of guilds whose list was read whole.
        self._members: dict[str, dict[str, Json]] = {}

    # --- what there is

    async def known(self, channel_id: str) -> Json:
        """A channel as the API has it. Raises: ChannelGone."""
        return self._directory.channel(channel_id) or await self._asked(channel_id)

    async def _asked(self, channel_id: str) -> Json:
        if not channel_id.isdigit():
            raise ChannelGone(ChannelId(channel_id), "Discord has no such channel")
        found: Json = await self._rest.ask("GET", "/channels/{channel_id}", channel_id=channel_id)
        if str(found.get("guild_id", "")) and str(found["guild_id"]) not in self._directory.guilds:
            await self._load_guild(str(found["guild_id"]))
        return self._directory.put_channel(found)

    async def _load_guild(self, guild_id: str) -> Guild:
        """Before the gateway has told of it."""
        return self._directory.put_guild(await self._rest.ask("GET", "/guilds/{guild_id}", guild_id=guild_id))

    async def parent_of(self, channel_id: str) -> str:
        """The channel of a thread, or the channel itself. Raises: ChannelGone."""
        found = await self.known(channel_id)
        return str(found["parent_id"]) if found.get("type") in THREADS else channel_id

    async def channel(self, channel: ChannelId) -> Channel:
        """All that is known of it."""
        conversation = conversation_of(channel)
        if conversation is not None:
            return await self._direct(channel)
        found = await self._asked(channel)
        guild = self._directory.guilds.get(str(found.get("guild_id")))
        if guild is None or found.get("type") not in SHOWN:
            raise ChannelGone(channel, "this is no channel that can be bridged")
        return await self.as_it_is(found, guild)

    async def as_it_is(self, found: Json, guild: Guild) -> Channel:
        """With members and pins, which its own JSON does not tell."""
        members = await self._members_in(guild, found)
        has_pins = found.get("last_pin_timestamp", "unknown") is not None
        pins = await self.pins(ChannelId(str(found["id"]))) if has_pins else ()
        return self.brief(found, guild, members=members, pins=pins)

    def brief(
        self,
        found: Json,
        guild: Guild,
        *,
        members: Sequence[Json] | None = None,
        pins: tuple[MessageId, ...] | None = None,
    ) -> Channel:
        """What the channel's own JSON tells, with what is given besides."""
        category = found.get("parent_id")
        people = () if members is None else tuple(self._person(each, guild.id) for each in members)
        everyone = {"user": {"id": "0"}, "roles": []}
        is_public = bool(powers.channel_permissions(guild.json, guild.roles, everyone, found) & powers.VIEW_CHANNEL)
        return Channel(
            id=ChannelId(str(found["id"])),
            space=SpaceId(str(category) if category else guild.id),
            name=str(found.get("name") or found["id"]),
            topic=str(found.get("topic") or ""),
            avatar=shapes.guild_icon(guild.json, self._cdn),
            is_public=is_public,
            members=None if members is None else tuple(person.id for person in people if not person.is_ours),
            member_count=None if members is None else len(members),
            power=self.power(guild, found),
            pins=pins,
            people=people,
        )

    def person_of(self, member: Json, guild_id: str) -> RemotePerson:
        return self._person(member, guild_id)

    def _person(self, member: Json, guild_id: str) -> RemotePerson:
        user = member["user"]
        nick = member.get("nick") if len(self._directory.guilds) == 1 else None
        return shapes.person(user, self._cdn, nick=nick, is_ours=self._directory.is_me(str(user["id"])))

    async def _direct(self, channel: ChannelId) -> Channel:
        conversation = conversation_of(channel)
        assert conversation is not None
        person = await self._directs.person_of(conversation)
        if person is None:
            raise ChannelGone(channel, "nothing is known of this conversation")
        user = self._directory.user(person) or await self._rest.ask("GET", "/users/{user_id}", user_id=person)
        found = shapes.person(user, self._cdn)
        members = [found.id, *self._directs.persons_of(conversation.user_id)]
        return Channel(
            id=channel,
            kind=ChannelKind.DIRECT,
            name=found.name,
            avatar=found.avatar,
            is_public=False,
            members=tuple(dict.fromkeys(members)),
            people=(found,),
        )

    # --- members and powers

    async def members(self, guild: Guild) -> Mapping[str, Json]:
        """Of the guild, at most MAX_MEMBERS. Without the intent: those that the gateway told of."""
        if guild.id not in self._members:
            self._members[guild.id] = await self._read_members(guild)
        return self._members[guild.id]

    async def _read_members(self, guild: Guild) -> dict[str, Json]:
        found: dict[str, Json] = {}
        after = "0"
        while len(found) < MAX_MEMBERS:
            query = {"limit": PAGE, "after": after}
            try:
                page = await self._rest.ask("GET", "/guilds/{guild_id}/members", query=query, guild_id=guild.id)
            except (MissingPermission, NotThere, ChannelGone):
                return found
            for member in page:
                self._directory.put_member(guild.id, member)
                found[str(member["user"]["id"])] = member
            if len(page) < PAGE:
                break
            after = str(page[-1]["user"]["id"])
        return found

    def emoji_of(self, data: Json) -> RemoteEmoji:
        return shapes.emoji(data, self._cdn)

    def forget_members(self, guild_id: str) -> None:
        """Something may have been missed: they are read again when they are needed."""
        self._members.pop(guild_id, None)

    def saw_member(self, guild_id: str, member: Json, *, is_gone: bool = False) -> None:
        """The gateway told of one."""
        known = self._members.get(guild_id)
        if known is None:
            return
        user_id = str(member["user"]["id"])
        if is_gone:
            known.pop(user_id, None)
        elif len(known) < MAX_MEMBERS or user_id in known:
            known[user_id] = {**known.get(user_id, {}), **member}

    async def _members_in(self, guild: Guild, channel: Json) -> list[Json] | None:
        """Those who see the channel; None, where nobody tells."""
        everyone = await self.members(guild)
        if not self._shows_members or not everyone:
            return None
        return [each for each in everyone.values() if self.sees(guild, channel, each)]

    def sees(self, guild: Guild, channel: Json, member: Json) -> bool:
        bits = powers.channel_permissions(guild.json, guild.roles, member, channel)
        return bool(bits & powers.VIEW_CHANNEL)

    def power(self, guild: Guild, channel: Json) -> Power | None:
        """None, where the members are not known."""
        known = self._members.get(guild.id)
        if not known:
            return None
        others = [each for each in known.values() if not self._directory.is_me(str(each["user"]["id"]))]
        return powers.power(guild.json, guild.roles, others, channel, self._levels)

    async def of_guild(self, guild_id: str) -> Sequence[Json]:
        """The bridged channels of the guild."""
        bridged = set(await self._bridge.bridged_channels())
        return [each for each in self._directory.channels_of(guild_id) if str(each["id"]) in bridged]

    # --- pins

    async def pins(self, channel: ChannelId) -> tuple[MessageId, ...]:
        """Oldest first."""
        found: list[MessageId] = []
        before = None
        while len(found) < _MAX_PINS:
            query = {"limit": _PINS_PAGE, "before": before}
            try:
                page = await self._rest.ask("GET", _PINS, query=query, channel_id=channel)
            except (MissingPermission, ChannelGone):
                return ()
            found += [MessageId(str(each["message"]["id"])) for each in page["items"]]
            if not page.get("has_more") or not page["items"]:
                break
            before = page["items"][-1]["pinned_at"]
        return tuple(reversed(found))

    # --- finding

    def listed(self, guild_or_category: str) -> Iterable[Channel]:
        for found in list(self._directory.channels.values()):
            guild = self._directory.guilds.get(str(found.get("guild_id")))
            if guild is None or found.get("type") not in SHOWN:
                continue
            parents = (guild.id, str(found.get("parent_id")))
            if guild_or_category in parents:
                yield self.brief(found, guild)

    async def find(self, text: str) -> Channel | None:
        """By an id, an address, #name, or Guild/name."""
        text = text.strip().removeprefix("<#").removesuffix(">")
        if "discord.com/channels/" in text:
            text = text.rpartition("channels/")[2].split("/")[1] if text.count("/") > 4 else text
        if text.isdigit():
            try:
                return await self.channel(ChannelId(await self.parent_of(text)))
            except Temporary:
                raise
            except NetworkError:
                return None
        found = [each for each in self._all() if _is_called(each[0], each[1], text)]
        return await self.channel(ChannelId(str(found[0][0]["id"]))) if len(found) == 1 else None

    def search(self, term: str, limit: int) -> Sequence[Channel]:
        found = [pair for pair in self._all() if term.lower() in str(pair[0].get("name", "")).lower()]
        return [self.brief(*pair) for pair in found[:limit]]

    def _all(self) -> Iterable[tuple[Json, Guild]]:
        for found in self._directory.channels.values():
            guild = self._directory.guilds.get(str(found.get("guild_id")))
            if guild is not None and found.get("type") in SHOWN:
                yield found, guild

    def spaces(self) -> Sequence[Space]:
        """Guilds, and their categories."""
        found: list[Space] = []
        for guild in self._directory.guilds.values():
            found.append(self.space(guild))
            categories = [each for each in self._directory.channels_of(guild.id) if each.get("type") == CATEGORY]
            found += [self.category(each) for each in categories]
        return found

    def space(self, guild: Guild) -> Space:
        topic = str(guild.json.get("description") or "")
        icon = shapes.guild_icon(guild.json, self._cdn)
        return Space(id=SpaceId(guild.id), name=guild.name, topic=topic, avatar=icon)

    def category(self, found: Json) -> Space:
        parent = SpaceId(str(found["guild_id"]))
        return Space(id=SpaceId(str(found["id"])), name=str(found.get("name") or found["id"]), parent=parent)

    # --- changes from Matrix

    async def set(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
        if conversation_of(channel) is not None or settings.avatar is not None or settings.removes_avatar:
            raise Unsupported("Discord has no such thing")
        body: Json = {}
        if settings.name is not None:
            body["name"] = settings.name.strip().removeprefix("#")[:_MAX_NAME] or "channel"
        if settings.topic is not None:
            body["topic"] = settings.topic[:_MAX_TOPIC]
        reason = f"Changed in Matrix by {author.user_id}"
        path = "/channels/{channel_id}"
        await self._rest.ask("PATCH", path, body, channel_id=channel, reason=reason, needs="Manage Channels")

    async def set_member(self, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
        """Members are the guild's. Invites are links, which bots send to nobody: nothing is to be done for those who
        see the channel already."""
        guild = await self._guild(channel)
        ids = {"guild_id": guild.id, "user_id": person}
        reason = f"By {author.user_id} in Matrix"
        if action == "invite":
            if person not in await self.members(guild):
                raise Unsupported("they are not on this Discord server; send them an invite link of it")
            return
        if action == "kick":
            path, method, needs = "/guilds/{guild_id}/members/{user_id}", "DELETE", "Kick Members"
        else:
            path, needs = "/guilds/{guild_id}/bans/{user_id}", "Ban Members"
            method = "PUT" if action == "ban" else "DELETE"
        try:
            await self._change_member(method, path, ids, needs, reason)
        except NotThere:
            return

    async def _change_member(self, method: str, path: str, ids: Mapping[str, str], needs: str, reason: str) -> None:
        await self._rest.ask(
            method,
            path,
            {} if method == "PUT" else None,
            needs=needs,
            reason=reason,
            guild_id=ids["guild_id"],
            user_id=ids["user_id"],
        )

    async def _guild(self, channel: ChannelId) -> Guild:
        if conversation_of(channel) is not None:
            raise Unsupported("direct chats have no members to be changed")
        found = await self.known(channel)
        guild = self._directory.guilds.get(str(found.get("guild_id")))
        if guild is None:
            raise ChannelGone(channel)
        return guild

    async def set_power(self, author: Author, channel: ChannelId, person: PersonId, level: int) -> None:
        """By giving the role that the settings name for that level, and taking those of other levels."""
        guild = await self._guild(channel)
        member = (await self.members(guild)).get(person) or self._directory.member(guild.id, person)
        if member is None:
            raise NotThere("they are not on this Discord server")
        wanted = powers.role_for_level(guild.roles, level, self._levels)
        if wanted is None and level > 0:
            raise Unsupported(f"no role of Discord stands for the level {level}: see `levels` in bridge.yaml")
        named = {role_id for role_id, role in guild.roles.items() if {role_id, str(role["name"])} & set(self._levels)}
        mine = {str(each) for each in member.get("roles", [])}
        reason = f"By {author.user_id} in Matrix"
        for role_id in sorted((mine & named) - {wanted}):
            await self._set_role("DELETE", guild, person, role_id, reason)
        if wanted is not None and wanted not in mine:
            await self._set_role("PUT", guild, person, wanted, reason)

    async def _set_role(self, method: str, guild: Guild, person: PersonId, role_id: str, reason: str) -> None:
        path = "/guilds/{guild_id}/members/{user_id}/roles/{role_id}"
        needed = "Manage Roles (and a role of the bot's own above that one)"
        await self._rest.ask(
            method, path, reason=reason, needs=needed, guild_id=guild.id, user_id=person, role_id=role_id
        )

    async def open_direct(self, author: Author, people: Sequence[PersonId]) -> Channel:
        """The author's conversation with a person, in the bot's channel with them."""
        if len(people) != 1:
            raise Unsupported("bots have no group chats on Discord")
        person = people[0]
        if not person.isdigit():
            raise Refused("nobody can write to a webhook")
        opened = await self._rest.ask("POST", "/users/@me/channels", {"recipient_id": person})
        self._directory.put_channel(opened)
        for user in opened.get("recipients", []):
            self._directory.put_user(user)
        conversation = self._directs.conversation(str(opened["id"]), str(author.user_id))
        await self._directs.begin(conversation, person)
        return await self._direct(conversation.id)


def _is_called(found: Json, guild: Guild, text: str) -> bool:
    server, slash, name = text.rpartition("/")
    if slash and server.strip().lower() != guild.name.lower():
        return False
    return str(found.get("name", "")).lower() == name.strip().removeprefix("#").lower()
