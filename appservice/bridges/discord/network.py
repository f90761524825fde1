"""The bridge to Discord, as core asks it: each call to the part that does it."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from appservice.bridges.core.errors import NetworkError, Refused, Temporary, Unsupported
from appservice.bridges.core.ids import ChannelId, EmojiId, JsonDict, MessageId, PersonId, SpaceId, ThreadId
from appservice.bridges.core.incoming import (
    Channel,
    Delivery,
    HistoryPage,
    RemoteEmoji,
    RemoteEvent,
    RemoteFile,
    RemotePerson,
    Space,
)
from appservice.bridges.core.network import Bridge, Fetched, Limits, LoginFlow, LoginStep, Spool, ThirdParty
from appservice.bridges.core.outgoing import (
    Author,
    ChannelSettings,
    Emoji,
    Login,
    MemberAction,
    MessageRef,
    OutgoingMessage,
    Presence,
    Sent,
    Text,
)
from appservice.bridges.core.package import Tools
from appservice.bridges.discord import shapes
from appservice.bridges.discord.connection import Connection
from appservice.bridges.discord.directory import Directory, file_bytes
from appservice.bridges.discord.directs import conversation_of
from appservice.bridges.discord.files import Files
from appservice.bridges.discord.linking import FLOW
from appservice.bridges.discord.parts import Parts, put_together
from appservice.bridges.discord.reactions import Reactions
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.settings import DiscordSettings
from matrix.ids import UserId

Json = dict[str, Any]

_MAX_REACTIONS = 20
_THIRD_PARTY = ThirdParty(
    user_fields=(("user", ".+", "carol, or an id"),),
    location_fields=(("channel", ".+", "Server/#channel, or an id"),),
)


@frozen
class _Started:
    parts: Parts


class DiscordNetwork:
    """See core.network.Network, whose words stand for all of these."""

    def __init__(self, settings: DiscordSettings, tools: Tools) -> None:
        self._settings, self._tools = settings, tools
        self._cdn = settings.cdn.rstrip("/")
        self._directory = Directory()
        self._rest = Rest(crossing=tools.crossing, token=settings.token, api=settings.api)
        self._connection = Connection(settings=settings, tools=tools, directory=self._directory)
        self._files = Files(rest=self._rest, cdn=self._cdn)
        self._reactions = Reactions(rest=self._rest, directory=self._directory)
        self._logins: dict[str, Login] = {}
        self._started: _Started | None = None

    @property
    def _parts(self) -> Parts:
        assert self._started is not None, "core starts a network before it asks it anything"
        return self._started.parts

    @property
    def name(self) -> str:
        return "discord"

    @property
    def title(self) -> str:
        return "Discord"

    @property
    def limits(self) -> Limits:
        # Of the largest server: what another one does not take is refused when it comes to it.
        largest = max(map(file_bytes, self._directory.guilds.values()), default=file_bytes(None))
        return Limits(file_bytes=largest, max_reactions_per_person=_MAX_REACTIONS)

    @property
    def third_party(self) -> ThirdParty:
        return _THIRD_PARTY

    async def start(self, bridge: Bridge, logins: Sequence[Login]) -> None:
        self._logins = {login.id: login for login in logins}
        parts = put_together(
            bridge,
            settings=self._settings,
            tools=self._tools,
            rest=self._rest,
            directory=self._directory,
            logins=lambda: list(self._logins.values()),
        )
        self._started = _Started(parts)
        await self._connection.start(bridge, parts.placing)
        await parts.renaming.start()

    async def stop(self) -> None:
        await self._connection.stop()
        await self._rest.close()

    def routes(self) -> Sequence[object]:
        return ()

    async def read(self, delivery: Delivery) -> Sequence[RemoteEvent]:
        return await self._parts.reading.read(delivery.payload)

    # --- messages

    async def send(self, message: OutgoingMessage) -> Sent:
        if message.poll is not None:
            return await self._parts.polls.send(message)
        return await self._parts.sending.send(message)

    async def find_sent(self, message: OutgoingMessage, since_ms: int) -> Sent | None:
        if message.poll is not None:
            return await self._parts.polls.find_sent(message, since_ms)
        return await self._parts.sending.find_sent(message, since_ms)

    async def edit(self, ref: MessageRef, message: OutgoingMessage) -> Sent:
        if not ref.is_ours:
            raise Refused("on Discord nobody can edit what others wrote")
        return await self._parts.sending.edit(ref, message)

    async def delete(self, author: Author, ref: MessageRef) -> None:
        await self._parts.sending.delete(author, ref)

    async def react(self, author: Author, ref: MessageRef, emoji: Emoji) -> EmojiId:
        return await self._reactions.add(ref, emoji)

    async def unreact(self, author: Author, ref: MessageRef, emoji: EmojiId) -> None:
        await self._reactions.remove(ref, emoji)

    async def pin(self, author: Author, ref: MessageRef, is_pinned: bool) -> None:
        path = "/channels/{channel_id}/messages/pins/{message_id}"
        reason = f"By {author.user_id} in Matrix"
        await self._rest.ask(
            "PUT" if is_pinned else "DELETE",
            path,
            reason=reason,
            needs="Pin Messages",
            channel_id=spoken_at(ref),
            message_id=ref.id,
        )

    async def vote(self, author: Author, poll: MessageRef, answers: Sequence[str]) -> None:
        await self._parts.polls.vote(author, poll, answers)

    async def end_poll(self, author: Author, poll: MessageRef, text: Text) -> None:
        await self._parts.polls.end(author, poll, text)

    async def press(self, author: Author, ref: MessageRef, action: JsonDict, values: Sequence[str]) -> None:
        link = self._parts.sending.link(ChannelId(spoken_at(ref)), ref.id)
        raise Unsupported(f"Discord lets no bot use what other applications show: answer it there, {link}")

    # --- what passes

    async def typing(self, author: Author, channel: ChannelId, is_typing: bool) -> None:
        if is_typing:
            conversation = conversation_of(channel)
            spoken = conversation.channel_id if conversation is not None else channel
            await self._rest.ask("POST", "/channels/{channel_id}/typing", channel_id=spoken, needs="Send Messages")

    async def mark_read(self, login: Login, ref: MessageRef) -> None:
        """Bots cannot read for people."""

    async def set_presence(self, login: Login, presence: Presence, status: str | None) -> None:
        """Bots cannot be online for people."""

    # --- channels

    async def channel(self, channel: ChannelId) -> Channel:
        return await self._parts.channels.channel(channel)

    async def find_channel(self, text: str, author: Author) -> Channel | None:
        return await self._parts.channels.find(text)

    async def channels(self, space: SpaceId) -> Sequence[Channel]:
        return list(self._parts.channels.listed(space))

    async def search_channels(self, term: str, limit: int) -> Sequence[Channel]:
        return self._parts.channels.search(term, limit)

    async def join(self, channel: ChannelId) -> None:
        """The bot is where its role lets it be: whether it may do what the bridge needs is said now, not later."""
        if conversation_of(channel) is None:
            await self._parts.channels.channel(channel)
            await self._parts.sending.webhook(channel)

    async def set_channel(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
        await self._parts.renaming.set(author, channel, settings)

    async def set_member(self, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
        await self._parts.channels.set_member(author, channel, person, action)

    async def set_own_membership(self, login: Login, channel: ChannelId, is_member: bool) -> None:
        """Who sees a channel is ruled by roles; nobody joins or leaves one."""

    async def set_power(self, author: Author, channel: ChannelId, person: PersonId, level: int) -> None:
        await self._parts.channels.set_power(author, channel, person, level)

    async def open_direct(self, author: Author, people: Sequence[PersonId]) -> Channel:
        return await self._parts.channels.open_direct(author, people)

    async def history(
        self,
        channel: ChannelId,
        *,
        limit: int,
        before: MessageId | None = None,
        after: MessageId | None = None,
        thread: ThreadId | None = None,
        page: str | None = None,
    ) -> HistoryPage:
        return await self._parts.past.page(channel, limit=limit, before=before, after=after, thread=thread, page=page)

    async def threads(self, channel: ChannelId, after_ms: int) -> Sequence[tuple[ThreadId, MessageId | None, str]]:
        return await self._parts.past.threads(channel, after_ms)

    # --- people, spaces, emoji, files

    async def person(self, person: PersonId) -> RemotePerson:
        if not person.isdigit():
            # A webhook's name: nothing more is to be known of it.
            return RemotePerson(id=person, name=person.partition(":")[2] or person, is_bot=True)
        known = self._directory.user(person)
        if known is None or "username" not in known:
            known = await self._rest.ask("GET", "/users/{user_id}", user_id=person)
            self._directory.put_user(known)
        member = None
        if len(self._directory.guilds) == 1:
            member = self._directory.member(next(iter(self._directory.guilds)), person)
        nick = None if member is None else member.get("nick")
        return shapes.person(known, self._cdn, nick=nick, is_ours=self._directory.is_me(person))

    async def find_person(self, text: str, author: Author) -> RemotePerson | None:
        name = text.strip().removeprefix("<@").removeprefix("!").removesuffix(">").removeprefix("@")
        if name.isdigit():
            try:
                return await self.person(PersonId(name))
            except Temporary:
                raise
            except NetworkError:
                return None
        found = await self.search_people(name, 20)
        exact = [each for each in found if each.name.lower() == name.lower()]
        return exact[0] if len(exact) == 1 else found[0] if len(found) == 1 else None

    async def search_people(self, term: str, limit: int) -> Sequence[RemotePerson]:
        found: dict[str, RemotePerson] = {}
        for guild in list(self._directory.guilds.values()):
            path, query = "/guilds/{guild_id}/members/search", {"query": term, "limit": min(limit, 100)}
            try:
                members = await self._rest.ask("GET", path, query=query, guild_id=guild.id)
            except Temporary:
                raise
            except NetworkError:
                continue
            for member in members:
                person = self._parts.channels.person_of(member, guild.id)
                if not person.is_ours:
                    found[person.id] = person
        return list(found.values())[:limit]

    async def spaces(self) -> Sequence[Space]:
        return self._parts.channels.spaces()

    async def emoji(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        guild = self._directory.guilds.get(space)
        return [] if guild is None else [shapes.emoji(each, self._cdn) for each in guild.emojis.values()]

    async def stickers(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        guild = self._directory.guilds.get(space)
        found = [] if guild is None else [shapes.sticker(each, self._cdn) for each in guild.stickers.values()]
        return [each for each in found if each is not None]

    async def fetch(self, file: RemoteFile, spool: Spool) -> Fetched:
        return await self._files.fetch(file, spool)

    # --- logins

    def login_flows(self) -> Sequence[LoginFlow]:
        return self._parts.linking.flows()

    async def log_in(self, user_id: UserId, flow: str, values: JsonDict, state: JsonDict) -> Login | LoginStep:
        if flow != FLOW:
            raise Refused(f"there is no such way: say `login {FLOW}`")
        return await self._parts.linking.log_in(user_id, values)

    async def add_login(self, login: Login) -> None:
        self._logins[login.id] = login

    async def remove_login(self, login: Login) -> None:
        self._logins.pop(login.id, None)

    async def status(self) -> Sequence[str]:
        connection, me = self._connection, self._directory.me
        if not connection.is_connected:
            return [f"Not connected to Discord: {connection.trouble}"]
        name = me.get("global_name") or me.get("username")
        lines = [f"Connected to Discord as {name} ({connection.latency_s() * 1000:.0f} ms)"]
        for guild in self._directory.guilds.values():
            lines.append(f"Server {guild.name}" + ("" if guild.is_available else " (not available)"))
        lines += [f"Missing: the {each} intent" for each in connection.missing]
        return lines


def spoken_at(ref: MessageRef) -> str:
    """The channel, or the thread, in which the message is at Discord."""
    conversation = conversation_of(ref.channel)
    return conversation.channel_id if conversation is not None else ref.thread or ref.channel
