"""What the gateway told, as core's events: one function for each kind of dispatch.

A payload is {"event", "data", "channel", "thread", "at_ms"}: where it belongs was found out when it came
(`placing.py`), so that it can be read after a restart as well.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from appservice.bridges.core.errors import ChannelGone
from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId, SpaceId, ThreadId
from appservice.bridges.core.incoming import (
    Channel,
    ChannelChanged,
    ChannelRemoved,
    Deleted,
    Edited,
    EmojiChanged,
    MemberChanged,
    Notice,
    PersonChanged,
    PollEnded,
    ReactionChanged,
    ReactionsCleared,
    RemoteEvent,
    SpaceChanged,
    SpaceRemoved,
    ThreadStarted,
    VoteChanged,
)
from appservice.bridges.core.network import Bridge
from appservice.bridges.discord.channels import Channels
from appservice.bridges.discord.contents import poll_result
from appservice.bridges.discord.directory import CATEGORY, SHOWN, Directory, Guild
from appservice.bridges.discord.linking import Linking
from appservice.bridges.discord.messages import Messages
from appservice.bridges.discord.moderation import Act, Moderation
from appservice.bridges.discord.polls import BUTTON, Polls

Json = dict[str, Any]
Events = Sequence[RemoteEvent]

PINNED, POLL_RESULT = 6, 46
# What Discord says in a channel, by the type of its message. {} is who it is about.
_SAID = {
    8: "{} boosted the server",
    9: "{} boosted the server: it has reached level 1",
    10: "{} boosted the server: it has reached level 2",
    11: "{} boosted the server: it has reached level 3",
    12: "{} has added another channel's announcements to this one",
}


class Reading:
    """`read` a payload. Raises: Temporary, LoginLost, what the bridge raises."""

    def __init__(
        self,
        *,
        bridge: Bridge,
        directory: Directory,
        messages: Messages,
        channels: Channels,
        polls: Polls,
        linking: Linking,
        moderation: Moderation,
    ) -> None:
        self._bridge, self._directory, self._messages = bridge, directory, messages
        self._channels, self._polls, self._linking = channels, polls, linking
        self._moderation = moderation

    async def read(self, payload: Json) -> Events:
        reader = _READERS.get(str(payload["event"]))
        if reader is None:
            return ()
        thread = payload.get("thread")
        channel, at_ms = ChannelId(str(payload.get("channel") or "")), int(payload.get("at_ms") or 0)
        where = _Where(channel, ThreadId(str(thread)) if thread else None, at_ms)
        return await reader(self, payload["data"], where)

    # --- messages

    async def message(self, data: Json, where: "_Where") -> Events:
        kind = int(data.get("type") or 0)
        if kind == POLL_RESULT:
            return self._poll_ended(data, where)
        if kind in _SAID:
            name = data["author"].get("global_name") or data["author"].get("username")
            content = {"msgtype": "m.notice", "body": _SAID[kind].format(name)}
            return [Notice(channel=where.channel, content=content)]
        if not where.channel:
            return await self._linking.heard(data)
        message = await self._messages.read(data, where.channel, where.thread)
        return [] if message is None or not message.parts else [message]

    def _poll_ended(self, data: Json, where: "_Where") -> Events:
        poll = (data.get("message_reference") or {}).get("message_id")
        if poll is None:
            return ()
        return [PollEnded(channel=where.channel, poll=MessageId(str(poll)), text=poll_result(data))]

    async def edited(self, data: Json, where: "_Where") -> Events:
        # Updates of parts (an embed, a flag) come whole since v10; what has no author is not a message.
        if "author" not in data or not where.channel:
            return ()
        message = await self._messages.read(data, where.channel, where.thread)
        return [] if message is None or not message.parts else [Edited(message=message)]

    async def deleted(self, data: Json, where: "_Where") -> Events:
        ids = data.get("ids") or [data["id"]]
        return [Deleted(channel=where.channel, id=MessageId(str(each))) for each in ids]

    # --- reactions, pins, polls

    async def reacted(self, data: Json, where: "_Where") -> Events:
        return self._reaction(data, where, is_added=True)

    async def unreacted(self, data: Json, where: "_Where") -> Events:
        return self._reaction(data, where, is_added=False)

    def _reaction(self, data: Json, where: "_Where", *, is_added: bool) -> Events:
        user_id = str(data["user_id"])
        # The bot's own are echoes of Matrix.
        if self._directory.is_me(user_id) or (data["emoji"].get("id") is None and not data["emoji"].get("name")):
            return ()
        member = data.get("member")
        people = () if not member else (self._channels.person_of(member, str(data["guild_id"])),)
        return [
            ReactionChanged(
                channel=where.channel,
                message=MessageId(str(data["message_id"])),
                person=PersonId(user_id),
                emoji=self._channels.emoji_of(data["emoji"]),
                is_added=is_added,
                people=people,
            )
        ]

    async def reactions_cleared(self, data: Json, where: "_Where") -> Events:
        emoji = data.get("emoji")
        emoji_id = None if emoji is None else EmojiId(str(emoji.get("id") or emoji.get("name")))
        return [ReactionsCleared(channel=where.channel, message=MessageId(str(data["message_id"])), emoji=emoji_id)]

    async def pins_changed(self, data: Json, where: "_Where") -> Events:
        """Discord tells only that they changed: all of them are read."""
        if where.thread is not None or not where.channel or "/" in where.channel:
            return ()
        try:
            pins = await self._channels.pins(where.channel)
        except ChannelGone:
            return ()
        return [ChannelChanged(channel=Channel(id=where.channel, pins=pins))]

    async def voted(self, data: Json, where: "_Where") -> Events:
        return self._vote(data, where, is_chosen=True)

    async def vote_taken_back(self, data: Json, where: "_Where") -> Events:
        return self._vote(data, where, is_chosen=False)

    def _vote(self, data: Json, where: "_Where", *, is_chosen: bool) -> Events:
        return [
            VoteChanged(
                channel=where.channel,
                poll=MessageId(str(data["message_id"])),
                person=PersonId(str(data["user_id"])),
                answer=str(data["answer_id"]),
                is_chosen=is_chosen,
            )
        ]

    async def pressed(self, data: Json, where: "_Where") -> Events:
        custom_id = str((data.get("data") or {}).get("custom_id", ""))
        if not custom_id.startswith(BUTTON) or not where.channel:
            return ()
        voted = await self._polls.pressed(where.channel, data)
        return () if voted is None else [voted]

    # --- channels, threads, guilds

    async def channel_changed(self, data: Json, where: "_Where") -> Events:
        guild = self._directory.guilds.get(str(data.get("guild_id")))
        if guild is not None and data.get("type") == CATEGORY:
            return [SpaceChanged(space=self._channels.category(data))]
        if guild is None or data.get("type") not in SHOWN:
            return ()
        return [ChannelChanged(channel=self._channels.brief(data, guild))]

    async def channel_deleted(self, data: Json, where: "_Where") -> Events:
        if data.get("type") == CATEGORY:
            return [SpaceRemoved(space=SpaceId(str(data["id"])))]
        return [ChannelRemoved(channel=ChannelId(str(data["id"])), reason="the channel was deleted on Discord")]

    async def thread_started(self, data: Json, where: "_Where") -> Events:
        # The bot's own begin in Matrix; and this comes also when one is unarchived, or the bot is added to it.
        if self._directory.is_me(str(data.get("owner_id"))) or not data.get("newly_created"):
            return ()
        thread = str(data["id"])
        return [
            ThreadStarted(
                channel=where.channel,
                thread=ThreadId(thread),
                root=MessageId(thread),
                name=str(data.get("name") or "thread"),
                by=PersonId(str(data["owner_id"])) if data.get("owner_id") else None,
            )
        ]

    async def guild_appeared(self, data: Json, where: "_Where") -> Events:
        guild = self._directory.guilds.get(str(data["id"]))
        if guild is None:
            return ()
        events: list[RemoteEvent] = [SpaceChanged(space=self._channels.space(guild))]
        events += [
            SpaceChanged(space=self._channels.category(each))
            for each in self._directory.channels_of(guild.id)
            if each.get("type") == CATEGORY
        ]
        # Who came and went, what was pinned, while nobody told us: all of it is compared.
        self._channels.forget_members(guild.id)
        for each in await self._of(guild.id):
            events.append(ChannelChanged(channel=await self._channels.as_it_is(each, guild)))
        return events

    async def _of(self, guild_id: str) -> Sequence[Json]:
        return await self._channels.of_guild(guild_id)

    async def guild_changed(self, data: Json, where: "_Where") -> Events:
        guild = self._directory.guilds.get(str(data["id"]))
        return () if guild is None else [SpaceChanged(space=self._channels.space(guild))]

    async def guild_left(self, data: Json, where: "_Where") -> Events:
        if data.get("unavailable"):
            return ()
        events: list[RemoteEvent] = [
            ChannelRemoved(channel=ChannelId(str(each)), reason="the bot was removed from the Discord server")
            for each in data.get("hearth_channels", [])
        ]
        return [*events, SpaceRemoved(space=SpaceId(str(data["id"])))]

    async def emoji_changed(self, data: Json, where: "_Where") -> Events:
        return [EmojiChanged(space=SpaceId(str(data["guild_id"])))]

    # --- people

    async def roles_changed(self, data: Json, where: "_Where") -> Events:
        guild = self._directory.guilds.get(str(data["guild_id"]))
        return () if guild is None else await self._powers(guild.id)

    async def _powers(self, guild_id: str) -> Events:
        guild = self._directory.guilds[guild_id]
        found = await self._of(guild_id)
        return [
            ChannelChanged(channel=Channel(id=ChannelId(str(each["id"])), power=self._channels.power(guild, each)))
            for each in found
        ]

    async def member_joined(self, data: Json, where: "_Where") -> Events:
        if (guild := self._guild_of(data)) is None:
            return ()
        self._channels.saw_member(guild.id, data)
        person = self._channels.person_of(data, guild.id)
        return [
            MemberChanged(channel=ChannelId(str(each["id"])), person=person.id, membership="join", people=(person,))
            for each in await self._of(guild.id)
            if self._channels.sees(guild, each, data)
        ]

    async def member_left(self, data: Json, where: "_Where") -> Events:
        if (guild := self._guild_of(data)) is None:
            return ()
        self._channels.saw_member(guild.id, data, is_gone=True)
        act = await self._moderation.of_leaving(guild.id, str(data["user"]["id"]), where.at_ms)
        return await self._put_out(guild, data, act)

    async def banned(self, data: Json, where: "_Where") -> Events:
        if (guild := self._guild_of(data)) is None:
            return ()
        act = await self._moderation.of_ban(guild.id, str(data["user"]["id"]), where.at_ms)
        return await self._put_out(guild, data, act)

    async def unbanned(self, data: Json, where: "_Where") -> Events:
        if (guild := self._guild_of(data)) is None:
            return ()
        act = await self._moderation.of_unban(guild.id, str(data["user"]["id"]), where.at_ms)
        return await self._put_out(guild, data, act)

    def _guild_of(self, data: Json) -> Guild | None:
        """The guild that the data are about, unless they are about the bot."""
        is_me = self._directory.is_me(str(data["user"]["id"]))
        return None if is_me else self._directory.guilds.get(str(data["guild_id"]))

    async def _put_out(self, guild: Guild, data: Json, act: Act) -> Events:
        person = self._channels.person_of(data, guild.id)
        return [
            MemberChanged(
                channel=ChannelId(str(each["id"])),
                person=person.id,
                membership=act.membership,
                by=act.by,
                reason=act.reason,
                people=(person,),
            )
            for each in await self._of(guild.id)
        ]

    async def member_changed(self, data: Json, where: "_Where") -> Events:
        guild = self._directory.guilds.get(str(data["guild_id"]))
        if guild is None:
            return ()
        self._channels.saw_member(guild.id, data)
        events: list[RemoteEvent] = []
        if not self._directory.is_me(str(data["user"]["id"])):
            events.append(PersonChanged(person=self._channels.person_of(data, guild.id)))
        return [*events, *await self._powers(guild.id)]


class _Where:
    """The channel of core's ("" for none), and the thread in it; and when it was told."""

    def __init__(self, channel: ChannelId, thread: ThreadId | None, at_ms: int) -> None:
        self.channel, self.thread, self.at_ms = channel, thread, at_ms


Reader = Callable[[Reading, Json, _Where], Awaitable[Events]]
_READERS: Mapping[str, Reader] = {
    "MESSAGE_CREATE": Reading.message,
    "MESSAGE_UPDATE": Reading.edited,
    "MESSAGE_DELETE": Reading.deleted,
    "MESSAGE_DELETE_BULK": Reading.deleted,
    "MESSAGE_REACTION_ADD": Reading.reacted,
    "MESSAGE_REACTION_REMOVE": Reading.unreacted,
    "MESSAGE_REACTION_REMOVE_ALL": Reading.reactions_cleared,
    "MESSAGE_REACTION_REMOVE_EMOJI": Reading.reactions_cleared,
    "MESSAGE_POLL_VOTE_ADD": Reading.voted,
    "MESSAGE_POLL_VOTE_REMOVE": Reading.vote_taken_back,
    "INTERACTION_CREATE": Reading.pressed,
    "CHANNEL_PINS_UPDATE": Reading.pins_changed,
    "CHANNEL_CREATE": Reading.channel_changed,
    "CHANNEL_UPDATE": Reading.channel_changed,
    "CHANNEL_DELETE": Reading.channel_deleted,
    "THREAD_CREATE": Reading.thread_started,
    "GUILD_CREATE": Reading.guild_appeared,
    "GUILD_UPDATE": Reading.guild_changed,
    "GUILD_DELETE": Reading.guild_left,
    "GUILD_EMOJIS_UPDATE": Reading.emoji_changed,
    "GUILD_STICKERS_UPDATE": Reading.emoji_changed,
    "GUILD_ROLE_CREATE": Reading.roles_changed,
    "GUILD_ROLE_UPDATE": Reading.roles_changed,
    "GUILD_ROLE_DELETE": Reading.roles_changed,
    "GUILD_MEMBER_ADD": Reading.member_joined,
    "GUILD_MEMBER_REMOVE": Reading.member_left,
    "GUILD_BAN_ADD": Reading.banned,
    "GUILD_BAN_REMOVE": Reading.unbanned,
    "GUILD_MEMBER_UPDATE": Reading.member_changed,
}
IS_READ = frozenset(_READERS)
