"""The servers of a chat network that is not there: what happens on them stays, whatever becomes of a bridge.

    remote = FakeRemote()
    remote.add_channel("C1", "general", people=["U1"])
    remote.say("C1", "U1", "hello")

What happens is delivered to the bridge that is connected, again and again until it has accepted it. `before` and
`after` are called with the name of each request of the bridge, before and after it is done: a test may raise, or never
come back.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId, SpaceId, ThreadId
from appservice.bridges.core.incoming import (
    Channel,
    ChannelKind,
    Deleted,
    Edited,
    Message,
    Part,
    Power,
    Reacted,
    ReactionChanged,
    RemoteEmoji,
    RemoteEvent,
    RemoteFile,
    RemotePerson,
    Space,
)

BOT = PersonId("BOT")
Hook = Callable[[str], Awaitable[None]]


async def _nothing(op: str) -> None:
    return None


@define(eq=False)
class FakeChannel:
    id: ChannelId
    name: str
    kind: ChannelKind = ChannelKind.CHANNEL
    topic: str = ""
    space: SpaceId | None = None
    is_public: bool = True
    members: list[PersonId] = field(factory=list)
    levels: dict[PersonId, int] = field(factory=dict)
    pins: list[MessageId] = field(factory=list)
    messages: list[Message] = field(factory=list)
    keys: dict[str, tuple[MessageId, ...]] = field(factory=dict)

    def find(self, message: str) -> Message | None:
        return next((each for each in self.messages if each.id == message), None)

    def value(self) -> Channel:
        return Channel(
            id=self.id,
            kind=self.kind,
            name=self.name,
            topic=self.topic,
            space=self.space,
            is_public=self.is_public,
            members=tuple(self.members),
            power=Power(people=dict(self.levels)),
            pins=tuple(self.pins),
        )


class FakeRemote:
    """All of it."""

    def __init__(self) -> None:
        self.people: dict[PersonId, RemotePerson] = {
            BOT: RemotePerson(id=BOT, name="Bridge", is_bot=True, is_ours=True)
        }
        self.spaces: dict[SpaceId, Space] = {}
        self.channels: dict[ChannelId, FakeChannel] = {}
        self.emoji: dict[EmojiId, RemoteEmoji] = {}
        self.stickers: dict[EmojiId, RemoteEmoji] = {}
        self.files: dict[str, bytes] = {}
        self.calls: list[tuple[str, Any]] = []
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.file_bytes_limit = 10_000_000
        # Does the network give back the key of a message in its echo?
        self.tells_keys = False
        self.is_doubling = False
        self.events: dict[str, RemoteEvent] = {}
        self._undelivered: list[tuple[ChannelId | None, str]] = []
        self._numbers = itertools.count(1)
        self._connected: Callable[[list[tuple[ChannelId | None, str]]], Awaitable[None]] | None = None
        self._is_pumping = False

    # --- the world

    def add_space(self, space: str, name: str) -> SpaceId:
        self.spaces[SpaceId(space)] = Space(id=SpaceId(space), name=name)
        return SpaceId(space)

    def add_person(self, person: str, name: str, avatar: bytes | None = None) -> PersonId:
        file = None
        if avatar is not None:
            file = self.add_file(f"{person}.png", avatar)
        self.people[PersonId(person)] = RemotePerson(id=PersonId(person), name=name, avatar=file)
        return PersonId(person)

    def add_file(self, name: str, content: bytes, mimetype: str = "image/png") -> RemoteFile:
        file_id = f"F{next(self._numbers)}"
        self.files[file_id] = content
        return RemoteFile(id=file_id, name=name, mimetype=mimetype, size_bytes=len(content))

    def add_emoji(self, name: str, content: bytes) -> RemoteEmoji:
        emoji = RemoteEmoji(id=EmojiId(f"E-{name}"), name=name, image=self.add_file(f"{name}.png", content))
        self.emoji[emoji.id] = emoji
        return emoji

    def add_channel(self, channel: str, name: str, people: Sequence[str] = (), **more: Any) -> FakeChannel:
        for person in people:
            if person not in self.people:
                self.add_person(person, person.title())
        made = FakeChannel(id=ChannelId(channel), name=name, members=[PersonId(each) for each in people], **more)
        self.channels[made.id] = made
        return made

    # --- what people do

    def new_id(self) -> MessageId:
        return MessageId(f"m{next(self._numbers)}")

    def say(self, channel: str, person: str, text: str = "", **more: Any) -> Message:
        """A message. `parts`, `thread`, `reply_to` ... as they are in Message."""
        more.setdefault("parts", (Part(content={"body": text}),))
        message = Message(
            channel=ChannelId(channel), id=self.new_id(), sender=PersonId(person), sent_ms=self.now_ms(), **more
        )
        self.channels[ChannelId(channel)].messages.append(message)
        self.emit(message, channel)
        return message

    def now_ms(self) -> int:
        return 1_700_000_000_000 + 1000 * next(self._numbers)

    def edit(self, message: Message, text: str, **more: Any) -> Message:
        more.setdefault("parts", (Part(content={"body": text}),))
        now = evolve(message, version=f"v{next(self._numbers)}", **more)
        self.replace(now)
        self.emit(Edited(message=now), message.channel)
        return now

    def replace(self, message: Message) -> None:
        channel = self.channels[message.channel]
        channel.messages = [message if each.id == message.id else each for each in channel.messages]

    def delete(self, message: Message) -> None:
        channel = self.channels[message.channel]
        channel.messages = [each for each in channel.messages if each.id != message.id]
        self.emit(Deleted(channel=message.channel, id=message.id), message.channel)

    def react(self, message: Message, person: str, emoji: RemoteEmoji | str, *, is_added: bool = True) -> None:
        if isinstance(emoji, str):
            emoji = RemoteEmoji(id=EmojiId(emoji), unicode=emoji)
        now = self.channels[message.channel].find(message.id) or message
        kept = tuple(each for each in now.reactions or () if (each.person, each.emoji.id) != (person, emoji.id))
        mine = (Reacted(person=PersonId(person), emoji=emoji),) if is_added else ()
        self.replace(evolve(now, reactions=(*kept, *mine)))
        event = ReactionChanged(
            channel=message.channel, message=message.id, person=PersonId(person), emoji=emoji, is_added=is_added
        )
        self.emit(event, message.channel)

    def texts(self, channel: str) -> list[str]:
        """What stands in the channel, each message with its writer."""
        return [f"{_who(each)}: {each.parts[0].content.get('body', '')}" for each in self.messages(channel)]

    def messages(self, channel: str) -> list[Message]:
        return self.channels[ChannelId(channel)].messages

    def in_thread(self, channel: str, thread: ThreadId) -> list[Message]:
        return [each for each in self.messages(channel) if each.thread == thread]

    # --- deliveries

    def emit(self, event: RemoteEvent, channel: str | None) -> None:
        """Something happened; the bridge will hear of it."""
        key = f"e{next(self._numbers)}"
        self.events[key] = event
        queue = None if channel is None else ChannelId(channel)
        self._undelivered += [(queue, key)] * (2 if self.is_doubling else 1)
        self._pump()

    def connect(self, accept: Callable[[list[tuple[ChannelId | None, str]]], Awaitable[None]] | None) -> None:
        """Who takes deliveries from now on."""
        self._connected = accept
        self._is_pumping = False
        self._pump()

    def _pump(self) -> None:
        if self._connected is not None and not self._is_pumping and self._undelivered:
            self._is_pumping = True
            Deferred.fromCoroutine(self._deliver(self._connected))

    async def _deliver(self, accept: Callable[[list[tuple[ChannelId | None, str]]], Awaitable[None]]) -> None:
        while self._undelivered and self._connected is accept:
            batch = self._undelivered[:10]
            try:
                await accept(batch)
            except Exception:  # noqa: BLE001  it was not taken: again
                continue
            if self._connected is accept and self._undelivered[: len(batch)] == batch:
                del self._undelivered[: len(batch)]
        if self._connected is accept:
            self._is_pumping = False

    def forget_undelivered(self) -> None:
        """What the bridge has not heard of yet it will never be told."""
        self._undelivered = []

    @property
    def is_delivered(self) -> bool:
        return not self._undelivered


def _who(message: Message) -> str:
    return str(message.memo.get("name", message.sender))
