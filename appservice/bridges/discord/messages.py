"""A message of Discord as core's Message: with what its texts name looked up, and what it answers or forwards."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from appservice.bridges.core.errors import NetworkError, Temporary
from appservice.bridges.core.ids import ChannelId, MessageId, PersonId, ThreadId
from appservice.bridges.core.incoming import Message, Reacted, RemotePerson, RemoteReferences, Voted
from appservice.bridges.core.network import Bridge
from appservice.bridges.discord import shapes
from appservice.bridges.discord.contents import Source, parts_of, texts_of
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.formatting import Named, Names, Rendered, named_in, parse, render
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.webhooks import Webhooks

Json = dict[str, Any]

# What people write; the rest is what Discord says, or made by an application.
DEFAULT, REPLY, COMMAND, CONTEXT_COMMAND = 0, 19, 20, 23
WRITTEN = frozenset({DEFAULT, REPLY, COMMAND, CONTEXT_COMMAND})
_FORWARD = 1
_REACTORS, _MAX_EMOJI = 100, 20
_AT_MESSAGE = "/channels/{channel_id}/messages/{message_id}"


class Messages:
    """Raises: Temporary, LoginLost, what the bridge raises."""

    def __init__(self, *, bridge: Bridge, rest: Rest, directory: Directory, webhooks: Webhooks, cdn: str) -> None:
        self._bridge, self._rest, self._directory, self._webhooks = bridge, rest, directory, webhooks
        self._cdn = cdn

    async def read(self, data: Json, channel: ChannelId, thread: ThreadId | None) -> Message | None:
        """None for what says nothing to anyone."""
        if int(data.get("type") or 0) not in WRITTEN:
            return None
        sender, people = await self.writer(data)
        render_text = await self._renderer(data, channel)
        source = Source(channel_id=str(data["channel_id"]), message_id=str(data["id"]), cdn=self._cdn)
        return Message(
            channel=channel,
            id=MessageId(str(data["id"])),
            sender=sender.id,
            sent_ms=shapes.made_ms(str(data["id"])),
            parts=parts_of(data, source, render_text),
            version=str(data.get("edited_timestamp") or ""),
            thread=thread,
            reply_to=self._answered(data),
            is_ours=await self.is_ours(data),
            people=people,
        )

    async def is_ours(self, data: Json) -> bool:
        webhook_id = data.get("webhook_id")
        if webhook_id is None:
            return self._directory.is_me(str(data["author"]["id"]))
        return await self._webhooks.is_ours(str(webhook_id))

    async def writer(self, data: Json) -> tuple[RemotePerson, tuple[RemotePerson, ...]]:
        """Who wrote it, and whose names came along."""
        author = data["author"]
        # Answers of applications are by a webhook that is the application itself.
        is_application = str(data.get("webhook_id")) == str(data.get("application_id"))
        if data.get("webhook_id") is not None and not is_application:
            sender = shapes.webhook_person(data, self._cdn)
        else:
            member = data.get("member") or {}
            nick = member.get("nick") if len(self._directory.guilds) == 1 else None
            is_ours = self._directory.is_me(str(author["id"]))
            sender = shapes.person(author, self._cdn, nick=nick, is_ours=is_ours)
            self._directory.put_user(author)
        for user in data.get("mentions") or []:
            self._directory.put_user(user)
        return sender, (sender,)

    @staticmethod
    def _answered(data: Json) -> MessageId | None:
        reference = data.get("message_reference") or {}
        if not reference.get("message_id") or int(reference.get("type") or 0) == _FORWARD:
            return None
        return MessageId(str(reference["message_id"]))

    # --- texts

    async def _renderer(self, data: Json, channel: ChannelId) -> "_Renderer":
        texts = texts_of(data)
        named = [named_in(parse(text)) for text in texts]
        if not any(each != Named() for each in named):
            return _Renderer(RemoteReferences(), Names())
        references = await self._look_up(named, channel)
        return _Renderer(references, self._names(data))

    async def _look_up(self, named: Sequence[Named], channel: ChannelId) -> RemoteReferences:
        people = [PersonId(user) for each in named for user in each.users if not self._directory.is_me(user)]
        channels = [ChannelId(found) for each in named for found in each.channels]
        emoji = [
            shapes.custom_emoji(found.id, found.name, found.is_animated, self._cdn)
            for each in named
            for found in each.emoji
        ]
        messages = [
            (ChannelId(self._directory.parent_of(at) or at), MessageId(message))
            for each in named
            for at, message in each.messages
        ]
        if not (people or channels or emoji or messages):
            return RemoteReferences()
        found = await self._bridge.references(people=people, channels=channels, emoji=emoji, messages=messages)
        # A link into a thread has the thread's id; the text still has that one.
        more = {
            (ChannelId(at), MessageId(message)): found.messages[key]
            for each in named
            for at, message in each.messages
            if (key := (ChannelId(self._directory.parent_of(at) or at), MessageId(message))) in found.messages
        }
        return evolve(found, messages={**found.messages, **more})

    def _names(self, data: Json) -> Names:
        users = {str(each["id"]): _name(each) for each in data.get("mentions") or []}
        me = self._directory.me
        if me:
            users[str(me["id"])] = _name(me)
        colours = {}
        for guild in self._directory.guilds.values():
            for role_id, role in guild.roles.items():
                if role.get("color"):
                    colours[role_id] = f"#{int(role['color']):06x}"
        channels = {key: str(each.get("name")) for key, each in self._directory.channels.items()}
        return Names(users=users, roles=self._directory.role_names(), colours=colours, channels=channels)

    # --- what stands at a message of the history

    async def with_reactions(self, message: Message, data: Json) -> Message:
        """With who reacted and voted: the history itself only counts."""
        found: list[Reacted] = []
        people: list[RemotePerson] = list(message.people)
        for each in (data.get("reactions") or [])[:_MAX_EMOJI]:
            emoji = shapes.emoji(each["emoji"], self._cdn)
            key = f"{each['emoji']['name']}:{emoji.id}" if each["emoji"].get("id") else emoji.id
            for user in await self._users(data, "/reactions/{emoji}", emoji=key):
                found.append(Reacted(person=PersonId(str(user["id"])), emoji=emoji))
                people.append(shapes.person(user, self._cdn))
        votes = await self._votes(message, data)
        return evolve(message, reactions=tuple(found), poll_votes=votes, people=tuple(people))

    async def _users(self, data: Json, path: str, **ids: str) -> list[Json]:
        """Who has reacted, but ourselves."""
        at = {"channel_id": str(data["channel_id"]), "message_id": str(data["id"]), **ids}
        users = await self._rest.ask("GET", _AT_MESSAGE + path, None, query={"limit": _REACTORS}, files=(), **at)
        return [user for user in users if not self._directory.is_me(str(user["id"]))]

    async def _votes(self, message: Message, data: Json) -> tuple[Voted, ...] | None:
        poll = data.get("poll")
        if not isinstance(poll, dict):
            return None
        chosen: dict[str, list[str]] = {}
        counted = (poll.get("results") or {}).get("answer_counts") or []
        for answer in [str(each["id"]) for each in counted if each.get("count")]:
            path = "/channels/{channel_id}/polls/{message_id}/answers/{answer_id}"
            at = {"channel_id": str(data["channel_id"]), "message_id": str(data["id"]), "answer_id": answer}
            try:
                page = await self._rest.ask("GET", path, None, query={"limit": _REACTORS}, files=(), **at)
            except Temporary:
                raise
            except NetworkError:
                continue
            for user in page.get("users", []):
                chosen.setdefault(str(user["id"]), []).append(answer)
        return tuple(
            Voted(channel=message.channel, poll=message.id, person=PersonId(user), answers=tuple(answers))
            for user, answers in chosen.items()
        )


class _Renderer:
    """Texts with what they name known."""

    def __init__(self, references: RemoteReferences, names: Names) -> None:
        self._references, self._names = references, names

    def __call__(self, text: str) -> Rendered:
        return render(parse(text), self._references, self._names)


def _name(user: Json) -> str:
    return str(user.get("global_name") or user.get("username") or user["id"])
