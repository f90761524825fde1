"""A Network over a FakeRemote: what a bridge has of it. Dies with the bridge; the remote stays.

Its markup is plain text in which `<@U1>`, `<#C1>` and `:smile:` mean something.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from appservice.bridges.core.errors import ChannelGone, FileTooLarge, NotThere, Refused, Unsupported
from appservice.bridges.core.ids import (
    ChannelId,
    EmojiId,
    JsonDict,
    LoginId,
    MessageId,
    PersonId,
    SpaceId,
    ThreadId,
)
from appservice.bridges.core.incoming import (
    Channel,
    ChannelKind,
    Delivery,
    Echo,
    Edited,
    HistoryPage,
    Message,
    Part,
    Reacted,
    RemoteEmoji,
    RemoteEvent,
    RemoteFile,
    RemotePerson,
    Space,
)
from appservice.bridges.core.network import (
    Bridge,
    Connected,
    Fetched,
    Limits,
    LoginField,
    LoginFlow,
    LoginStep,
    Spool,
    ThirdParty,
)
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
from matrix.ids import UserId
from tests.support.fake_remote import BOT, FakeChannel, FakeRemote

_NAMES = re.compile(r"<@(\w+)>|<#(\w+)>|:(\w+):")
_PILL = re.compile(r'<a href="([^"]+)">([^<]*)</a>|<img data-mx-emoticon[^>]*src="([^"]+)"[^>]*>')
_TAG = re.compile(r"<[^>]+>")


class FakeNetwork:
    """Implements network.Network."""

    name = "fake"
    title = "Fakechat"
    third_party = ThirdParty(
        user_fields=(("name", ".+", "Alice"),), location_fields=(("channel", ".+", "general"),), icon="mxc://x/y"
    )

    def __init__(self, remote: FakeRemote) -> None:
        self.remote = remote
        self.is_dead = False
        self.is_history_asked = 0
        self.bridge: Bridge | None = None
        self.logins: dict[LoginId, Login] = {}

    @property
    def limits(self) -> Limits:
        return Limits(file_bytes=self.remote.file_bytes_limit)

    # --- its life

    async def start(self, bridge: Bridge, logins: Sequence[Login]) -> None:
        self.bridge = bridge
        self.logins = {login.id: login for login in logins}
        bridge.connection(Connected(login=None, is_connected=True))
        self.remote.connect(self._accept)

    async def stop(self) -> None:
        self.remote.connect(None)

    def kill(self) -> None:
        self.is_dead = True
        self.remote.connect(None)

    def reconnect(self) -> None:
        """After a time without connection in which things were missed."""
        assert self.bridge is not None
        self.bridge.connection(Connected(login=None, is_connected=True))
        self.remote.connect(self._accept)

    def disconnect(self) -> None:
        assert self.bridge is not None
        self.remote.connect(None)
        self.bridge.connection(Connected(login=None, is_connected=False, text="the cable is cut"))

    async def _accept(self, batch: list[tuple[ChannelId | None, str]]) -> None:
        assert self.bridge is not None
        await self._op("accept", batch)
        await self.bridge.accept(
            [Delivery(queue=queue, payload={"event": key}, key=key, echo=self._echo(key)) for queue, key in batch]
        )
        await self.remote.after("accept")

    def _echo(self, key: str) -> Echo | None:
        """Networks that give the key back need not say what is an echo."""
        event = self.remote.events[key]
        if not isinstance(event, Message) or not event.is_ours or self.remote.tells_keys:
            return None
        return Echo(id=event.id, sent_ms=event.sent_ms, is_in_thread=event.thread is not None)

    async def _op(self, op: str, what: Any) -> None:
        """Each request begins so."""
        if self.is_dead:
            await Deferred()  # for ever
        await self.remote.before(op)
        self.remote.calls.append((op, what))

    def routes(self) -> Sequence[object]:
        return []

    async def read(self, delivery: Delivery) -> Sequence[RemoteEvent]:
        event = self.remote.events[delivery.payload["event"]]
        if isinstance(event, Message):
            return [await self._rendered(event)]
        if isinstance(event, Edited):
            return [Edited(message=await self._rendered(event.message))]
        return [event]

    async def _rendered(self, message: Message) -> Message:
        return evolve(message, parts=tuple([await self._rendered_part(part) for part in message.parts]))

    async def _rendered_part(self, part: Part) -> Part:
        assert self.bridge is not None
        found = list(_NAMES.finditer(str(part.content.get("body", ""))))
        if not found:
            return part
        emoji = [each for each in self.remote.emoji.values() if each.name in {match[3] for match in found}]
        names = await self.bridge.references(
            people=[PersonId(match[1]) for match in found if match[1]],
            channels=[ChannelId(match[2]) for match in found if match[2]],
            emoji=emoji,
        )
        images = {each.name: names.emoji.get(each.id) for each in emoji}

        def html_of(match: "re.Match[str]") -> str:
            if match[1] and (person := names.people.get(PersonId(match[1]))):
                return f'<a href="https://matrix.to/#/{person.user_id}">{person.name}</a>'
            if match[2] and (room := names.channels.get(ChannelId(match[2]))):
                return f'<a href="{room.link}">{room.name}</a>'
            if match[3] and images.get(match[3]):
                return f'<img data-mx-emoticon src="{images[match[3]]}" title="{match[3]}" height="32">'
            return html.escape(match[0])

        formatted = _NAMES.sub(html_of, part.content["body"])
        users = [str(person.user_id) for person in names.people.values()]
        content = {
            **part.content,
            "body": _TAG.sub("", formatted),
            "format": "org.matrix.custom.html",
            "formatted_body": formatted,
            "m.mentions": {"user_ids": users},
        }
        return evolve(part, content=content)

    # --- messages

    def _channel(self, channel: ChannelId) -> FakeChannel:
        if channel not in self.remote.channels:
            raise ChannelGone(channel)
        return self.remote.channels[channel]

    async def send(self, message: OutgoingMessage) -> Sent:
        await self._op("send", message)
        channel = self._channel(message.channel)
        sent_id, thread = self.remote.new_id(), None
        if message.thread is not None:
            root = message.thread.root
            thread = message.thread.id or (None if root is None else ThreadId(root.id))
        stored = self._stored(message, sent_id, thread)
        channel.messages.append(stored)
        channel.keys[message.key] = (sent_id,)
        echo = evolve(stored, sent_key=message.key if self.remote.tells_keys else None)
        self.remote.emit(echo, message.channel)
        await self.remote.after("send")
        return Sent(ids=(sent_id,), thread=thread, memo={"name": message.author.name})

    def _stored(self, message: OutgoingMessage, sent_id: MessageId, thread: ThreadId | None) -> Message:
        author, text = message.author, plain(message.text)
        content: JsonDict = {"body": text, "kind": message.kind}
        if message.file is not None:
            content["file"] = message.file.path.read_bytes()
            content["name"] = message.file.name
        return Message(
            channel=message.channel,
            id=sent_id,
            sender=BOT if author.login is None else author.login.person,
            sent_ms=self.remote.now_ms(),
            parts=(Part(content=content, poll=message.poll),),
            thread=thread,
            reply_to=None if message.reply_to is None else message.reply_to.id,
            is_ours=author.login is None,
            memo={} if author.login is not None else {"name": author.name, "face": author.avatar_url},
        )

    async def find_sent(self, message: OutgoingMessage, since_ms: int) -> Sent | None:
        await self._op("find_sent", message)
        ids = self._channel(message.channel).keys.get(message.key)
        return None if ids is None else Sent(ids=ids)

    async def edit(self, ref: MessageRef, message: OutgoingMessage) -> Sent:
        await self._op("edit", message)
        known = self._message(ref)
        version = f"edit {message.key}"
        now = evolve(known, parts=(Part(content={"body": plain(message.text)}),), version=version)
        self.remote.replace(now)
        self.remote.emit(Edited(message=now), ref.channel)
        await self.remote.after("edit")
        return Sent(ids=(ref.id,), version=version)

    def _message(self, ref: MessageRef) -> Message:
        found = self._channel(ref.channel).find(ref.id)
        if found is None:
            raise NotThere("the message is not there")
        return found

    async def delete(self, author: Author, ref: MessageRef) -> None:
        await self._op("delete", ref)
        found = self._channel(ref.channel).find(ref.id)
        if found is not None:
            self.remote.delete(found)
        await self.remote.after("delete")

    async def react(self, author: Author, ref: MessageRef, emoji: Emoji) -> EmojiId:
        await self._op("react", (author, ref, emoji))
        found = self.remote.emoji.get(emoji.id) if emoji.id is not None else None
        if found is None and emoji.unicode is None:
            raise Unsupported(f"there is no emoji {emoji.name}")
        chosen = found or RemoteEmoji(id=EmojiId(emoji.unicode or ""), unicode=emoji.unicode)
        person = BOT if author.login is None else author.login.person
        self.remote.react(self._message(ref), person, chosen)
        await self.remote.after("react")
        return chosen.id

    async def unreact(self, author: Author, ref: MessageRef, emoji: EmojiId) -> None:
        await self._op("unreact", (author, ref, emoji))
        person = BOT if author.login is None else author.login.person
        chosen = self.remote.emoji.get(emoji) or RemoteEmoji(id=emoji, unicode=emoji)
        self.remote.react(self._message(ref), person, chosen, is_added=False)
        await self.remote.after("unreact")

    async def pin(self, author: Author, ref: MessageRef, is_pinned: bool) -> None:
        await self._op("pin", (ref.id, is_pinned))
        channel = self._channel(ref.channel)
        channel.pins = [each for each in channel.pins if each != ref.id] + ([ref.id] if is_pinned else [])

    async def vote(self, author: Author, poll: MessageRef, answers: Sequence[str]) -> None:
        await self._op("vote", (author.name, poll.id, list(answers)))

    async def end_poll(self, author: Author, poll: MessageRef, text: Text) -> None:
        await self._op("end_poll", poll.id)

    async def press(self, author: Author, ref: MessageRef, action: JsonDict, values: Sequence[str]) -> None:
        await self._op("press", (author.name, action["id"], list(values)))

    # --- what passes

    async def typing(self, author: Author, channel: ChannelId, is_typing: bool) -> None:
        await self._op("typing", (author.name, channel, is_typing))

    async def mark_read(self, login: Login, ref: MessageRef) -> None:
        await self._op("mark_read", (login.id, ref.id))

    async def set_presence(self, login: Login, presence: Presence, status: str | None) -> None:
        await self._op("set_presence", (login.id, presence))

    # --- channels

    async def channel(self, channel: ChannelId) -> Channel:
        await self._op("channel", channel)
        return self._channel(channel).value()

    async def find_channel(self, text: str, author: Author) -> Channel | None:
        await self._op("find_channel", text)
        for each in self.remote.channels.values():
            if text.lstrip("#") in (each.id, each.name):
                return each.value()
        return None

    async def channels(self, space: SpaceId) -> Sequence[Channel]:
        return [each.value() for each in self.remote.channels.values() if each.space == space]

    async def search_channels(self, term: str, limit: int) -> Sequence[Channel]:
        return [each.value() for each in self.remote.channels.values() if term in each.name][:limit]

    async def join(self, channel: ChannelId) -> None:
        await self._op("join", channel)

    async def set_channel(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
        await self._op("set_channel", (channel, settings))
        found = self._channel(channel)
        found.name = found.name if settings.name is None else settings.name
        found.topic = found.topic if settings.topic is None else settings.topic

    async def set_member(self, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
        await self._op("set_member", (channel, person, action))
        members = self._channel(channel).members
        if action == "invite" and person not in members:
            members.append(person)
        elif action in ("kick", "ban") and person in members:
            members.remove(person)

    async def set_own_membership(self, login: Login, channel: ChannelId, is_member: bool) -> None:
        await self._op("set_own_membership", (login.id, channel, is_member))

    async def set_power(self, author: Author, channel: ChannelId, person: PersonId, level: int) -> None:
        await self._op("set_power", (channel, person, level))
        if level not in (0, 50, 100):
            raise Refused("there is no role for that")
        self._channel(channel).levels[person] = level

    async def open_direct(self, author: Author, people: Sequence[PersonId]) -> Channel:
        await self._op("open_direct", (author.name, list(people)))
        me = BOT if author.login is None else author.login.person
        channel = ChannelId("D-" + "-".join(sorted([me, *people])))
        if channel not in self.remote.channels:
            members = [person for person in (me, *people) if person != BOT]
            name = self.remote.people[people[0]].name
            self.remote.add_channel(channel, name, members, kind=ChannelKind.DIRECT, is_public=False)
        return self._channel(channel).value()

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
        await self._op("history", (channel, limit, before, after, thread))
        everything = [each for each in self._channel(channel).messages if each.thread == thread]
        ids = [each.id for each in everything]
        start = page or after
        if before is not None:
            end = ids.index(before) if before in ids else 0
            found = everything[max(0, end - limit) : end]
            more = end - limit > 0
        elif after is not None:
            at = ids.index(MessageId(start or "")) + 1 if start in ids else _place(everything, str(start))
            found = everything[at : at + limit]
            more = at + limit < len(everything)
        else:
            found, more = everything[-limit:], len(everything) > limit
        rendered = tuple([evolve(await self._rendered(each), reactions=each.reactions or ()) for each in found])
        return HistoryPage(messages=rendered, next=found[-1].id if more and found else None)

    async def threads(self, channel: ChannelId, after_ms: int) -> Sequence[tuple[ThreadId, MessageId | None, str]]:
        newer = [each for each in self._channel(channel).messages if each.thread and each.sent_ms > after_ms]
        return [(thread, MessageId(thread), "") for thread in dict.fromkeys(each.thread for each in newer) if thread]

    # --- people, spaces, emoji, files

    async def person(self, person: PersonId) -> RemotePerson:
        await self._op("person", person)
        if person not in self.remote.people:
            raise NotThere("there is no such person")
        return self.remote.people[person]

    async def find_person(self, text: str, author: Author) -> RemotePerson | None:
        return next((each for each in self.remote.people.values() if text in (each.id, each.name)), None)

    async def search_people(self, term: str, limit: int) -> Sequence[RemotePerson]:
        return [each for each in self.remote.people.values() if term.lower() in each.name.lower()][:limit]

    async def spaces(self) -> Sequence[Space]:
        return list(self.remote.spaces.values())

    async def emoji(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        return list(self.remote.emoji.values())

    async def stickers(self, space: SpaceId) -> Sequence[RemoteEmoji]:
        return list(self.remote.stickers.values())

    async def fetch(self, file: RemoteFile, spool: Spool) -> Fetched:
        await self._op("fetch", file.id)
        if file.id not in self.remote.files:
            raise NotThere("the file is not there")
        content = self.remote.files[file.id]
        for at in range(0, len(content), 1000):
            spool.write(content[at : at + 1000])
        return Fetched()

    # --- logins

    def login_flows(self) -> Sequence[LoginFlow]:
        field = LoginField(id="token", label="token")
        return [
            LoginFlow(id="token", name="Token", instructions="Copy your token.", fields=(field,)),
            LoginFlow(
                id="code", name="Code", instructions="You will get a code.", fields=(LoginField(id="n", label="n"),)
            ),
        ]

    async def log_in(self, user_id: UserId, flow: str, values: JsonDict, state: JsonDict) -> Login | LoginStep:
        await self._op("log_in", (flow, values, state))
        if flow == "code" and "sent" not in state:
            return LoginStep(text="Sent.", fields=(LoginField(id="code", label="code"),), state={"sent": values["n"]})
        token = str(state.get("sent") or values["token"])
        person = PersonId(token.removeprefix("token-"))
        if person not in self.remote.people:
            raise Refused("that token is not good")
        return Login(
            id=LoginId(f"L-{person}"),
            user_id=user_id,
            person=person,
            name=self.remote.people[person].name,
            credentials={"token": token},
        )

    async def add_login(self, login: Login) -> None:
        self.logins[login.id] = login

    async def remove_login(self, login: Login) -> None:
        self.logins.pop(login.id, None)

    async def status(self) -> Sequence[str]:
        return [f"{len(self.remote.channels)} channels are there."]


def plain(text: Text) -> str:
    """Matrix text in the network's markup."""
    if text.formatted_body is None:
        return text.body

    def written(match: "re.Match[str]") -> str:
        if match[3]:
            emoji = text.references.emoji.get(match[3])
            return f":{emoji.removeprefix('E-')}:" if emoji else "?"
        target = match[1].removeprefix("https://matrix.to/#/").partition("?")[0]
        mention = text.references.people.get(target.replace("%40", "@").replace("%3A", ":"))
        if mention is not None:
            return f"<@{mention.person}>" if mention.person else f"@{mention.name}"
        channel = text.references.channels.get(target.replace("%21", "!").replace("%3A", ":").replace("%23", "#"))
        return f"<#{channel}>" if channel else match[2]

    marked = _PILL.sub(lambda match: written(match).replace("<", "\0"), text.formatted_body)
    return html.unescape(_TAG.sub("", marked)).replace("\0", "<")


def _place(messages: list[Message], after: str) -> int:
    """Where the messages after one that is gone begin: ids grow."""
    return next((at for at, each in enumerate(messages) if int(each.id[1:]) > int(after[1:] or 0)), len(messages))


__all__ = ["FakeNetwork", "FileTooLarge", "Reacted", "plain"]
