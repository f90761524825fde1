"""What a network tells of: plain values, made by `Network.read`, `Network.history` and the look-ups.

Contents are Matrix contents: each network converts its own markup, with `Bridge.references` for whom and what the
text names. Core adds relations, files and whatever else needs to know of Matrix.
"""

import enum
from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from appservice.bridges.core.ids import (
    MAIN_PART,
    ChannelId,
    EmojiId,
    JsonDict,
    MessageId,
    PartId,
    PersonId,
    SpaceId,
    ThreadId,
)
from matrix.ids import UserId


@frozen(kw_only=True)
class RemoteFile:
    """A file on the network, for `Network.fetch`.

    `id` changes when what is in it does: avatars, emoji and stickers of one id are copied once. `source` is the
    network's own: an address, a key.
    """

    id: str
    name: str = ""
    mimetype: str | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    source: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class RemotePerson:
    """A ghost's name and face. `is_ours`: the bridge's own bot or webhook, which never becomes a ghost."""

    id: PersonId
    name: str
    avatar: RemoteFile | None = None
    is_bot: bool = False
    is_ours: bool = False


@frozen(kw_only=True)
class RemoteEmoji:
    """Of unicode, or with an image. `name` is the shortcode without colons."""

    id: EmojiId
    name: str = ""
    unicode: str | None = None
    image: RemoteFile | None = None


@frozen(kw_only=True)
class Poll:
    """`answers` are (id, text), in order. `closes_ms` since 1970, where it closes by itself."""

    question: str
    answers: tuple[tuple[str, str], ...]
    max_selections: int = 1
    is_disclosed: bool = True
    closes_ms: int | None = None


@frozen(kw_only=True)
class Action:
    """A button, or a menu with its `options` as (value, text). Core shows and numbers them, and takes the answers.

    `url`: a button that only opens a page. `max_selections` is for menus.
    """

    id: str
    label: str
    options: tuple[tuple[str, str], ...] = ()
    max_selections: int = 1
    url: str | None = None
    source: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class Part:
    """What becomes one Matrix event.

    `content` is a Matrix content without relations (`body`, `formatted_body`, `m.mentions`, whatever fits); the msgtype
    of a file and its `info` are core's if they are missing. A `poll` needs no content. Stickers: event_type m.sticker.
    """

    id: PartId = MAIN_PART
    event_type: str = "m.room.message"
    content: JsonDict = field(factory=dict)
    file: RemoteFile | None = None
    poll: Poll | None = None
    actions: tuple[Action, ...] = ()


@frozen(kw_only=True)
class Reacted:
    """Who reacted with what, as it stands at a message of the history."""

    person: PersonId
    emoji: RemoteEmoji


@frozen(kw_only=True)
class Message:
    """A message, new or from the history.

    A message that is known already is not shown twice; one of another `version` (the time of its last edit, say) is an
    edit. `sent_key` is the key of the OutgoingMessage that it is the echo of, where the network gives that back; an
    echo that comes without one is known by its id. `is_ours`: written by the bridge itself for somebody.
    `people` are those whose names and faces came along; core asks `Network.person` about senders it has never seen.
    `reactions`, `is_pinned`: None, where this source does not tell.
    """

    channel: ChannelId
    id: MessageId
    sender: PersonId
    sent_ms: int
    parts: tuple[Part, ...]
    version: str = ""
    thread: ThreadId | None = None
    reply_to: MessageId | None = None
    sent_key: str | None = None
    is_ours: bool = False
    people: tuple[RemotePerson, ...] = ()
    reactions: tuple[Reacted, ...] | None = None
    poll_votes: tuple["Voted", ...] | None = None
    memo: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class Edited:
    """The message as it is now, all of its parts: those that are missing are taken away, new ones are added."""

    message: Message


@frozen(kw_only=True)
class Deleted:
    """`part` is None for the whole message. `by` is None, if the network does not say; then it was the writer."""

    channel: ChannelId
    id: MessageId
    part: PartId | None = None
    by: PersonId | None = None


@frozen(kw_only=True)
class ReactionChanged:
    """Added or taken away."""

    channel: ChannelId
    message: MessageId
    person: PersonId
    emoji: RemoteEmoji
    is_added: bool
    people: tuple[RemotePerson, ...] = ()


@frozen(kw_only=True)
class ReactionsCleared:
    """Everyone's; those with one emoji, or all."""

    channel: ChannelId
    message: MessageId
    emoji: EmojiId | None = None


@frozen(kw_only=True)
class ThreadStarted:
    """A thread that no message tells by itself. Without a `root` core makes a message with the thread's name."""

    channel: ChannelId
    thread: ThreadId
    root: MessageId | None
    name: str
    by: PersonId | None = None


@frozen(kw_only=True)
class Receipt:
    """The person has read up to this message. Of use for people who have signed in."""

    channel: ChannelId
    person: PersonId
    message: MessageId


@frozen(kw_only=True)
class PinChanged:
    channel: ChannelId
    message: MessageId
    is_pinned: bool
    by: PersonId | None = None


@frozen(kw_only=True)
class Voted:
    """All that the person has chosen now; nothing, if the vote was taken back."""

    channel: ChannelId
    poll: MessageId
    person: PersonId
    answers: tuple[str, ...]


@frozen(kw_only=True)
class VoteChanged:
    """One answer was chosen or taken back: for networks that tell no more."""

    channel: ChannelId
    poll: MessageId
    person: PersonId
    answer: str
    is_chosen: bool


@frozen(kw_only=True)
class PollEnded:
    """`text` says how it ended."""

    channel: ChannelId
    poll: MessageId
    text: str = ""


class ChannelKind(enum.Enum):
    CHANNEL = "channel"
    DIRECT = "direct"
    GROUP = "group"  # a direct chat of several


@frozen(kw_only=True)
class Power:
    """Roles as power levels, 0 to 100, which core maps to Matrix as they are.

    `actions` are levels that Matrix knows by name: events_default, state_default, invite, kick, ban, redact, and event
    types (m.room.name, m.room.pinned_events ...).
    """

    people: Mapping[PersonId, int]
    default: int = 0
    actions: Mapping[str, int] = field(factory=dict)


@frozen(kw_only=True)
class Channel:
    """A channel as far as it is known: None leaves what is there as it is. `avatar` of a direct chat is the other's.

    `members` are all of them, the bridge's own bot left out; None, where nobody told.
    """

    id: ChannelId
    kind: ChannelKind = ChannelKind.CHANNEL
    space: SpaceId | None = None
    name: str | None = None
    topic: str | None = None
    avatar: RemoteFile | None = None
    is_public: bool | None = None
    is_archived: bool = False
    members: tuple[PersonId, ...] | None = None
    member_count: int | None = None
    power: Power | None = None
    pins: tuple[MessageId, ...] | None = None
    people: tuple[RemotePerson, ...] = ()


@frozen(kw_only=True)
class ChannelChanged:
    """What is not None in the channel is so now. A channel without a portal gets one, if the settings want that."""

    channel: Channel
    by: PersonId | None = None


@frozen(kw_only=True)
class ChannelRemoved:
    """Deleted, or closed to the bridge."""

    channel: ChannelId
    reason: str = ""


@frozen(kw_only=True)
class MemberChanged:
    """`by` of who was put out: who did it; None: nobody knows, or the bridge itself did."""

    channel: ChannelId
    person: PersonId
    membership: Literal["join", "leave", "kick", "ban", "unban", "invite"]
    by: PersonId | None = None
    reason: str | None = None
    people: tuple[RemotePerson, ...] = ()


@frozen(kw_only=True)
class PersonChanged:
    person: RemotePerson


@frozen(kw_only=True)
class Space:
    """A team, a guild, or (with a `parent`) a category in one."""

    id: SpaceId
    name: str
    topic: str | None = None
    avatar: RemoteFile | None = None
    parent: SpaceId | None = None


@frozen(kw_only=True)
class SpaceChanged:
    space: Space


@frozen(kw_only=True)
class SpaceRemoved:
    space: SpaceId


@frozen(kw_only=True)
class EmojiChanged:
    """The custom emoji or stickers of the space are others now: core asks for them."""

    space: SpaceId


@frozen(kw_only=True)
class Notice:
    """What the network shows to people and is no message: becomes a notice of the bridge's bot."""

    channel: ChannelId
    content: JsonDict


RemoteEvent = (
    Message
    | Edited
    | Deleted
    | ReactionChanged
    | ReactionsCleared
    | ThreadStarted
    | Receipt
    | PinChanged
    | Voted
    | VoteChanged
    | PollEnded
    | ChannelChanged
    | ChannelRemoved
    | MemberChanged
    | PersonChanged
    | SpaceChanged
    | SpaceRemoved
    | EmojiChanged
    | Notice
)


@frozen(kw_only=True)
class Echo:
    """A message comes back that the bridge itself wrote, by no login."""

    id: MessageId
    sent_ms: int
    is_in_thread: bool = False


@frozen(kw_only=True)
class Delivery:
    """What came from the network, as it came, to be made durable before it is acknowledged there.

    `queue` keeps the order: the channel (a thread's parent), or "" for what concerns none; see `Network.queue_of`.
    `key` is the network's id of this delivery: the same is taken once, however often it comes. `payload` is JSON, and
    goes to `Network.read` when it is its turn, perhaps after a restart. Of an `echo` core most often has no need.
    """

    queue: ChannelId | None
    payload: JsonDict
    key: str | None = None
    echo: Echo | None = None


@frozen(kw_only=True)
class HistoryPage:
    """Messages, oldest first, with all that is known of them now (edits, reactions).

    `next` asks for the page after it (older ones, or newer ones, as it was asked). `is_complete`: between the first and
    the last of the page there are no others, so that a message core knows and the page lacks has been deleted.
    """

    messages: tuple[Message, ...]
    next: str | None = None
    is_complete: bool = True


@frozen(kw_only=True)
class MatrixPerson:
    """Whom a mention means: the ghost, or the Matrix user who has signed in as that person."""

    user_id: UserId
    name: str


@frozen(kw_only=True)
class MatrixRoom:
    """`link` is a matrix.to address."""

    room_id: str
    name: str
    link: str


@frozen(kw_only=True)
class RemoteReferences:
    """What ids in a network's text mean in Matrix; what is not known is not in it.

    `emoji` gives mxc URIs, `messages` matrix.to addresses of events.
    """

    people: Mapping[PersonId, MatrixPerson] = field(factory=dict)
    channels: Mapping[ChannelId, MatrixRoom] = field(factory=dict)
    emoji: Mapping[EmojiId, str] = field(factory=dict)
    messages: Mapping[tuple[ChannelId, MessageId], str] = field(factory=dict)
