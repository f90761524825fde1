"""What core asks a network to do: plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import field, frozen

from appservice.bridges.core.ids import (
    MAIN_PART,
    ChannelId,
    EmojiId,
    JsonDict,
    LoginId,
    MessageId,
    PartId,
    PersonId,
    ThreadId,
)
from appservice.bridges.core.incoming import Poll
from matrix.ids import UserId


@frozen(kw_only=True)
class Login:
    """An account of the network that a Matrix user has signed in with. `credentials` are the network's own."""

    id: LoginId
    user_id: UserId
    person: PersonId
    name: str
    credentials: JsonDict = field(repr=False)


@frozen(kw_only=True)
class Author:
    """For whom something is done: by the `login` if there is one, else by relay under this name and face.

    `avatar_url` is http(s), to be read by anyone; None, where the bridge has no public address or the user no face.
    """

    user_id: UserId
    name: str
    avatar_url: str | None = None
    login: Login | None = None


@frozen(kw_only=True)
class Mention:
    """Of whom a pill speaks: a person of the network, or (person None) a Matrix user with that name."""

    person: PersonId | None
    name: str


@frozen(kw_only=True)
class MatrixReferences:
    """What the links and images of a formatted body mean on the network; what means nothing there is not in it.

    `people` by Matrix user id (also of m.mentions, for texts without pills), `channels` by room id or alias, `messages`
    by the address of the event as the text has it, `emoji` by mxc.
    """

    people: Mapping[str, Mention] = field(factory=dict)
    channels: Mapping[str, ChannelId] = field(factory=dict)
    messages: Mapping[str, tuple[ChannelId, MessageId]] = field(factory=dict)
    emoji: Mapping[str, EmojiId] = field(factory=dict)
    is_for_room: bool = False  # @room


@frozen(kw_only=True)
class Text:
    """`formatted_body` is org.matrix.custom.html, or None. Fall-backs of replies and edits are gone from both."""

    body: str
    formatted_body: str | None = None
    references: MatrixReferences = MatrixReferences()


@frozen(kw_only=True)
class OutgoingFile:
    """Whole on the disk at `path` while the call lasts; the network streams it from there."""

    path: Path
    name: str
    mimetype: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    is_voice: bool = False


@frozen(kw_only=True)
class MessageRef:
    """A message of the network that core knows.

    `more` are further messages that the same Matrix event became (a long text in pieces). `memo` is what the network
    gave with it (`Sent.memo`, `Message.memo`): which webhook wrote it, say. `is_ours`: it was written by the bridge.
    `written_by` is the login that wrote it, if one did.
    """

    channel: ChannelId
    id: MessageId
    part: PartId = MAIN_PART
    more: tuple[MessageId, ...] = ()
    thread: ThreadId | None = None
    person: PersonId | None = None
    is_ours: bool = False
    written_by: LoginId | None = None
    memo: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class ThreadRef:
    """The thread to write in; with no `id` the network begins one at `root`, and says its id in `Sent.thread`.

    `root` is None for threads that began without a message.
    """

    id: ThreadId | None
    root: MessageRef | None
    name: str = ""  # a beginning of the root's text, for networks whose threads have names


@frozen(kw_only=True)
class OutgoingMessage:
    """A message to be sent. The `key` is short, unique, and the same when it is tried again.

    A network that can attach the key to the message (nonce, metadata) does so. `text` is the message, or what stands
    with a file; with a poll or sticker what to say where there is no such thing. `content` is the whole Matrix content.
    """

    key: str
    channel: ChannelId
    author: Author
    kind: Literal["text", "emote", "notice", "file", "sticker", "poll", "location"]
    text: Text
    file: OutgoingFile | None = None
    poll: Poll | None = None
    thread: ThreadRef | None = None
    reply_to: MessageRef | None = None
    sent_ms: int = 0
    content: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class Sent:
    """What a message became, in order; the first is the one that is edited, answered and reacted to.

    An edit may give other ids than there were.
    """

    ids: tuple[MessageId, ...]
    thread: ThreadId | None = None
    version: str = ""
    memo: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class Emoji:
    """To react with. `id` where the network's own is known, else `unicode`, else a mere shortcode in `name`."""

    id: EmojiId | None = None
    unicode: str | None = None
    name: str = ""


@frozen(kw_only=True)
class ChannelSettings:
    """What is to be changed; None is not. An empty text takes away."""

    name: str | None = None
    topic: str | None = None
    avatar: OutgoingFile | None = None
    removes_avatar: bool = False


MemberAction = Literal["invite", "kick", "ban", "unban"]
Presence = Literal["online", "unavailable", "offline"]
