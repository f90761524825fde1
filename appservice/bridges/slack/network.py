"""Slack as core sees it: each request of core's goes to the workspace that it is about."""

from collections.abc import Sequence

from appservice.bridges.core.errors import ChannelGone, LoginLost, Refused, Temporary, Unsupported
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
from appservice.bridges.slack import channels, logins, uploads
from appservice.bridges.slack.api import ChannelClosed, SlackApi
from appservice.bridges.slack.connections import Connections
from appservice.bridges.slack.events import Events
from appservice.bridges.slack.formatting.compose import permalink
from appservice.bridges.slack.formatting.interactive import pressed
from appservice.bridges.slack.history import History
from appservice.bridges.slack.ids import custom_emoji_id, local_part, team_of
from appservice.bridges.slack.messages import Messages
from appservice.bridges.slack.sending import Sending
from appservice.bridges.slack.settings import SlackSettings
from appservice.bridges.slack.team import Team
from appservice.bridges.slack.voting import Voting
from matrix.ids import UserId

MAX_SEARCHED = 50


class SlackNetwork:
    """`Network` for core. After `start` it connects in the background."""

    name = "slack"
    title = "Slack"
    limits = Limits(file_bytes=uploads.MAX_FILE_BYTES)
    third_party = ThirdParty(
        user_fields=(("user", r"@?[^\s]+", "@maria"),),
        location_fields=(("channel", r"#?[^\s]+", "#general"),),
    )

    def __init__(self, *, settings: SlackSettings, tools: Tools) -> None:
        self._tools = tools
        self._api = SlackApi(base_url=settings.api_url, crossing=tools.crossing)
        self._teams = [Team(options=each, api=self._api, clock=tools.clock) for each in settings.workspaces]
        self._sending = Sending(replies_are_threads=settings.threads == "replies")
        self._connections = Connections(settings=settings, tools=tools, api=self._api, teams=self._teams)
        self._messages: Messages
        self._events: Events
        self._history: History
        self._voting: Voting

    async def start(self, bridge: Bridge, logins: Sequence[Login]) -> None:
        self._messages = Messages(bridge)
        self._events = Events(self._messages)
        self._history = History(self._messages)
        self._voting = Voting(bridge)
        self._connections.start(bridge, logins)

    async def stop(self) -> None:
        await self._connections.stop()
        await self._api.close()

    def routes(self) -> Sequence[object]:
        return self._connections.routes()

    async def read(self, delivery: Delivery) -> Sequence[RemoteEvent]:
        payload = delivery.payload
        team = await self._team(str(payload.get("team")))
        if payload.get("kind") == "action":
            return await self._voting.pressed(team, payload["action"])
        return await self._events.read(team, payload["event"])

    async def _team(self, some_id: str) -> Team:
        """The workspace of an id. Raises: Temporary, Refused."""
        wanted = team_of(some_id)
        for team in self._teams:
            if team.id == wanted and team.is_ready:
                return team
        if any(not team.is_ready for team in self._teams):
            # Which of them it is is known only when they have answered.
            lost = next((team.lost for team in self._teams if team.lost), None)
            if lost is not None:
                raise LoginLost(lost)
            raise Temporary("the bridge is not connected to Slack yet")
        raise Refused(f"the bridge has no workspace {wanted}")

    # --- messages

    async def send(self, message: OutgoingMessage) -> Sent:
        team = await self._team(message.channel)
        sent = await self._sending.send(team, message)
        return await self._noted(message, sent)

    async def find_sent(self, message: OutgoingMessage, since_ms: int) -> Sent | None:
        sent = await self._sending.find_sent(await self._team(message.channel), message, since_ms)
        return None if sent is None else await self._noted(message, sent)

    async def _noted(self, message: OutgoingMessage, sent: Sent) -> Sent:
        if message.poll is not None:
            await self._voting.begun(message.channel, sent.ids[0], message.poll)
        return sent

    async def edit(self, ref: MessageRef, message: OutgoingMessage) -> Sent:
        return await self._sending.edit(await self._team(ref.channel), ref, message)

    async def delete(self, author: Author, ref: MessageRef) -> None:
        await self._sending.delete(await self._team(ref.channel), author, ref)

    async def react(self, author: Author, ref: MessageRef, emoji: Emoji) -> EmojiId:
        return await self._sending.react(await self._team(ref.channel), author, ref, emoji)

    async def unreact(self, author: Author, ref: MessageRef, emoji: EmojiId) -> None:
        await self._sending.unreact(await self._team(ref.channel), author, ref, emoji)

    async def pin(self, author: Author, ref: MessageRef, is_pinned: bool) -> None:
        await self._sending.pin(await self._team(ref.channel), author, ref, is_pinned)

    async def vote(self, author: Author, poll: MessageRef, answers: Sequence[str]) -> None:
        await self._voting.vote(await self._team(poll.channel), author, poll, answers)

    async def end_poll(self, author: Author, poll: MessageRef, text: Text) -> None:
        await self._voting.end(await self._team(poll.channel), poll)

    async def press(self, author: Author, ref: MessageRef, action: JsonDict, values: Sequence[str]) -> None:
        """As the client does it that the login's token is from."""
        team = await self._team(ref.channel)
        account, channel = team.account_of(author), local_part(ref.channel)
        if not account.is_browser:
            link = permalink(team.url, channel, ref.id)
            raise Unsupported(
                f"Slack lets only its own clients press buttons: say `login browser` to the bot, or open {link}"
            )
        container = {"type": "message", "message_ts": ref.id, "channel_id": channel, "is_ephemeral": False}
        given = {"container": container, "actions": [pressed(action, list(values), {})]}
        try:
            await team.api.call(account, "blocks.actions", service_id=ref.memo.get("bot_id"), **given)
        except ChannelClosed as error:
            raise ChannelGone(ref.channel) from error

    # --- what passes

    async def typing(self, author: Author, channel: ChannelId, is_typing: bool) -> None:
        if is_typing and author.login is not None:
            await self._connections.type_in(author.login, local_part(channel))

    async def mark_read(self, login: Login, ref: MessageRef) -> None:
        team = await self._team(ref.channel)
        await team.api.call(team.account(login), "conversations.mark", channel=local_part(ref.channel), ts=ref.id)

    async def set_presence(self, login: Login, presence: Presence, status: str | None) -> None:
        team = await self._team(login.id)
        word = "auto" if presence == "online" else "away"
        await team.api.call(team.account(login), "users.setPresence", presence=word)

    # --- channels

    async def channel(self, channel: ChannelId) -> Channel:
        return await channels.whole_channel(await self._team(channel), channel)

    async def find_channel(self, text: str, author: Author) -> Channel | None:
        for team in self._ready():
            found = await channels.find(team, text)
            if found is not None:
                return found
        return None

    async def channels(self, space: SpaceId) -> Sequence[Channel]:
        team = await self._team(space)
        return [channels.channel_from(team, raw) for raw in await team.all_channels()]

    async def search_channels(self, term: str, limit: int) -> Sequence[Channel]:
        wanted, found = term.lower().lstrip("#"), []
        for team in self._ready():
            matching = [raw for raw in await team.all_channels() if wanted in str(raw.get("name", "")).lower()]
            found += [channels.channel_from(team, raw) for raw in matching[:limit]]
        return found[:limit]

    async def join(self, channel: ChannelId) -> None:
        await channels.join(await self._team(channel), channel)

    async def set_channel(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
        await channels.set_channel(await self._team(channel), author, channel, settings)

    async def set_member(self, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
        await channels.set_member(await self._team(channel), author, channel, person, action)

    async def set_own_membership(self, login: Login, channel: ChannelId, is_member: bool) -> None:
        await channels.set_own_membership(await self._team(channel), login, channel, is_member)

    async def set_power(self, author: Author, channel: ChannelId, person: PersonId, level: int) -> None:
        raise Unsupported("Slack's roles belong to the workspace, not to a channel: an administrator sets them there")

    async def open_direct(self, author: Author, people: Sequence[PersonId]) -> Channel:
        team = await self._team(people[0])
        return await channels.open_direct(team, author, [local_part(person) for person in people])

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
        team = await self._team(channel)
        return await self._history.page(
            team, channel, limit=limit, before=before, after=after, thread=thread, page=page
        )

    async def threads(self, channel: ChannelId, after_ms: int) -> Sequence[tuple[ThreadId, MessageId | None, str]]:
        return await self._history.threads(await self._team(channel), channel, after_ms)

    # --- people, spaces, emoji, files

    async def person(self, person: PersonId) -> RemotePerson:
        return await (await self._team(person)).person(local_part(person))

    async def find_person(self, text: str, author: Author) -> RemotePerson | None:
        wanted = text.strip().removeprefix("@")
        for team in self._ready():
            for user in await team.all_people():
                profile = user.get("profile") or {}
                ids = (user["id"], f"{team.id}-{user['id']}", user.get("name"), profile.get("email"))
                if wanted in ids or wanted.lower() == str(profile.get("display_name", "")).lower():
                    return team.person_from(user)
        return None

    async def search_people(self, term: str, limit: int) -> Sequence[RemotePerson]:
        wanted, found = term.lower().lstrip("@"), []
        for team in self._ready():
            for user in await team.all_people():
                profile = user.get("profile") or {}
                names = (user["id"], user.get("name"), profile.get("display_name"), profile.get("real_name"))
                if any(wanted in str(name).lower() for name in names if name):
                    found.append(team.person_from(user))
        return found[: min(limit, MAX_SEARCHED)]

    async def spaces(self) -> Sequence[Space]:
        return [team.space() for team in self._ready()]

    async def emoji(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        team = await self._team(space)
        return [
            RemoteEmoji(
                id=custom_emoji_id(team.id, name), name=name, image=RemoteFile(id=url, name=name, source={"url": url})
            )
            for name, url in (await team.emoji()).items()
        ]

    async def stickers(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        return ()

    async def fetch(self, file: RemoteFile, spool: Spool) -> Fetched:
        return await uploads.fetch(self._teams, self._api, file, spool)

    # --- logins

    def login_flows(self) -> Sequence[LoginFlow]:
        return logins.FLOWS

    async def log_in(self, user_id: UserId, flow: str, values: JsonDict, state: JsonDict) -> Login | LoginStep:
        return await logins.log_in(self._api, self._team_by_id, user_id, values)

    async def add_login(self, login: Login) -> None:
        self._connections.add_login(login)

    async def remove_login(self, login: Login) -> None:
        self._connections.remove_login(login)
        team = self._team_by_id(team_of(login.id))
        if team is not None:
            await logins.revoke(team, login)

    async def status(self) -> Sequence[str]:
        return self._connections.status()

    def _team_by_id(self, team_id: str) -> Team | None:
        return next((team for team in self._teams if team.id == team_id), None)

    def _ready(self) -> list[Team]:
        ready = [team for team in self._teams if team.is_ready]
        if not ready:
            raise Temporary("the bridge is not connected to Slack yet")
        return ready
