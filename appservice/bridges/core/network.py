"""The contract between core and a network: `Network` is what core asks, `Bridge` is what a network may ask of core.

Everything here is a coroutine of Twisted's (it awaits Deferreds). Where a network's library is asyncio, cross over with
`core.crossing`. Values are in `incoming.py` and `outgoing.py`, errors in `errors.py`, ids in `ids.py`.

How a message comes in: the library hands the network a payload -> `Bridge.accept` (durable when it returns: acknowledge
it then, not before) -> in the order of its queue, perhaps after a restart, `Network.read` makes values of it -> core
puts them into the portal. `read` may be called again for the same payload, and must not depend on what the process
knew when it came.

How one goes out: the homeserver's transaction is durable -> in the same queue -> `Network.send`. After a crash in the
middle of that, `Network.find_sent` is asked before it is sent again. Since both directions of a portal share one queue,
an echo is read only after `send` has returned: core knows its id by then and drops it. One that the network knows as
such (`Delivery.echo`) core need not even keep.

What fails raises one of `errors.py`. Calls are cancelled after some minutes. A queue waits for its call; queues of
different channels run beside each other, a few dozen at a time.
"""

from collections.abc import Sequence
from typing import Protocol

from attrs import field, frozen

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
    Delivery,
    HistoryPage,
    RemoteEmoji,
    RemoteEvent,
    RemoteFile,
    RemotePerson,
    RemoteReferences,
    Space,
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


class Spool(Protocol):
    """Where a file is written to as it comes; on the disk if it is large."""

    def write(self, chunk: bytes) -> object:
        """Raises: FileTooLarge. The network lets it pass, and stops reading."""
        ...


@frozen(kw_only=True)
class Fetched:
    """What the network said of the file while it was read; None, if nothing."""

    mimetype: str | None = None
    name: str | None = None


@frozen(kw_only=True)
class Limits:
    """What the network takes. Core refuses, or asks for something else, before it tries."""

    file_bytes: int
    max_reactions_per_person: int | None = None


@frozen(kw_only=True)
class LoginField:
    """One thing to be given for a login. `is_secret`: the message with it is redacted at once."""

    id: str
    label: str
    is_secret: bool = True
    pattern: str | None = None


@frozen(kw_only=True)
class LoginFlow:
    """A way to sign in. `instructions` are Markdown for a person. Without fields the network has a page for it."""

    id: str
    name: str
    instructions: str
    fields: tuple[LoginField, ...] = ()


@frozen(kw_only=True)
class LoginStep:
    """What is needed further: `open_url` a page to be opened, `fields` to be given then. `state` comes back."""

    text: str
    fields: tuple[LoginField, ...] = ()
    open_url: str | None = None
    state: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class ThirdParty:
    """What clients show of the network where rooms and people are looked for.

    Fields are (name, regular expression, placeholder). Source: application service API, "Third-party networks".
    """

    user_fields: tuple[tuple[str, str, str], ...]
    location_fields: tuple[tuple[str, str, str], ...]
    icon: str = ""


@frozen(kw_only=True)
class Connected:
    """How the connection stands: of a login, or of the bridge itself (None). `text` is for people.

    `has_missed`: something may not have come, so that core looks at the history. False after a resume that replayed.
    """

    login: LoginId | None
    is_connected: bool
    text: str = ""
    has_missed: bool = True


class Bridge(Protocol):
    """What a network may ask of core."""

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Takes what came; durable when it returns. Deliveries whose key was taken before are dropped.

        Raises: DatabaseDown; then it was not taken.
        """
        ...

    def typing(self, channel: ChannelId, person: PersonId, is_typing: bool = True) -> None:
        """For the next seconds."""
        ...

    def presence(self, person: PersonId, presence: Presence, status: str | None = None) -> None: ...

    def connection(self, state: Connected) -> None:
        """Shown by `status`, the metrics and the log; a loss that lasts is told in the management rooms.

        Connected (again), core catches up by `history` of itself, if something was missed.
        """
        ...

    def catch_up(self, channels: Sequence[ChannelId] | None = None) -> None:
        """Something may have been missed (in these channels): core looks at the history since what it knows."""
        ...

    async def references(
        self,
        *,
        people: Sequence[PersonId] = (),
        channels: Sequence[ChannelId] = (),
        emoji: Sequence[RemoteEmoji] = (),
        messages: Sequence[tuple[ChannelId, MessageId]] = (),
    ) -> RemoteReferences:
        """What ids in a text mean in Matrix. Unknown people are looked up; emoji with images are copied."""
        ...

    async def find_ref(self, channel: ChannelId, message: MessageId) -> MessageRef | None:
        """The message, if core knows it."""
        ...

    async def find_thread(self, channel: ChannelId, root: MessageId) -> ThreadId | None: ...

    async def bridged_channels(self) -> Sequence[ChannelId]: ...

    async def recall(self, key: str) -> JsonDict | None:
        """What the network remembered under this key: webhooks, positions, session ids."""
        ...

    async def remember(self, key: str, value: JsonDict | None) -> None:
        """Keeps it, durable when it returns; None forgets it."""
        ...

    async def update_login(self, login: Login) -> None:
        """The login's credentials or name are others now."""
        ...

    def tell(self, text: str, *, login: LoginId | None = None, channel: ChannelId | None = None) -> None:
        """Says something to people: the login's owner, the channel's room, or those who run the bridge. Markdown.

        The same text is not said again for an hour.
        """
        ...

    def public_url(self, path: str) -> str | None:
        """The address of a path of the network's own `routes`; None, if the bridge has no public address."""
        ...


class Network(Protocol):
    """What core asks of a network. `author` says for whom; see Author."""

    @property
    def name(self) -> str:
        """As in user ids and the configuration: slack."""
        ...

    @property
    def title(self) -> str:
        """As people know it: Slack."""
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def third_party(self) -> ThirdParty: ...

    async def start(self, bridge: Bridge, logins: Sequence[Login]) -> None:
        """Connects in the background, and goes on trying; comes back at once. Bad credentials of the bridge itself are
        told by `Bridge.connection`, not raised."""
        ...

    async def stop(self) -> None:
        """Accepts nothing more; calls that run may end."""
        ...

    def routes(self) -> Sequence[object]:
        """Objects with @route methods for the bridge's HTTP server (events, OAuth); Access.PUBLIC, under /NAME/."""
        ...

    async def read(self, delivery: Delivery) -> Sequence[RemoteEvent]:
        """What the payload says; nothing, if it is of no interest."""
        ...

    # --- messages

    async def send(self, message: OutgoingMessage) -> Sent: ...

    async def find_sent(self, message: OutgoingMessage, since_ms: int) -> Sent | None:
        """Was it sent already? Asked when an attempt since then may have been cut off. By the key where the network
        keeps it, else by looking for its like in the newest history."""
        ...

    async def edit(self, ref: MessageRef, message: OutgoingMessage) -> Sent:
        """Makes the message what this says; one that is the same already is no error. The file is given only if it is
        another. `message.key` is the edit's own."""
        ...

    async def delete(self, author: Author, ref: MessageRef) -> None:
        """All of it (`ref.more` too), or only its `ref.part` if that is not the main one. Gone already is no error."""
        ...

    async def react(self, author: Author, ref: MessageRef, emoji: Emoji) -> EmojiId:
        """Gives the id by which the reaction will be told and taken back. Being there already is no error.

        Without a login it is the bot's; core asks once for all whom the bot speaks for, and takes it back with the
        last of them. Raises: Unsupported, for what the network has not.
        """
        ...

    async def unreact(self, author: Author, ref: MessageRef, emoji: EmojiId) -> None: ...

    async def pin(self, author: Author, ref: MessageRef, is_pinned: bool) -> None: ...

    async def vote(self, author: Author, poll: MessageRef, answers: Sequence[str]) -> None:
        """Makes these the author's choice. Of a poll that the bridge itself shows by buttons: shows the new count."""
        ...

    async def end_poll(self, author: Author, poll: MessageRef, text: Text) -> None: ...

    async def press(self, author: Author, ref: MessageRef, action: JsonDict, values: Sequence[str]) -> None:
        """Answers a button (no values) or a menu. `action` is `Action.source` with `id` in it.

        Raises: Unsupported, with what the person can do instead.
        """
        ...

    # --- what passes

    async def typing(self, author: Author, channel: ChannelId, is_typing: bool) -> None: ...

    async def mark_read(self, login: Login, ref: MessageRef) -> None: ...

    async def set_presence(self, login: Login, presence: Presence, status: str | None) -> None: ...

    # --- channels

    async def channel(self, channel: ChannelId) -> Channel:
        """All that is known of it, members, pins and power included. Raises: ChannelGone."""
        ...

    async def find_channel(self, text: str, author: Author) -> Channel | None:
        """By what people call it: an id, #name, team/name, an address."""
        ...

    async def channels(self, space: SpaceId) -> Sequence[Channel]:
        """Those that the bridge may see; members are not needed."""
        ...

    async def search_channels(self, term: str, limit: int) -> Sequence[Channel]: ...

    async def join(self, channel: ChannelId) -> None:
        """Makes the bridge able to read and write there, as far as that is in its hands. Raises: Refused, with what a
        person has to do there."""
        ...

    async def set_channel(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None: ...

    async def set_member(self, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
        """Of a ghost that was invited, kicked or banned in Matrix."""
        ...

    async def set_own_membership(self, login: Login, channel: ChannelId, is_member: bool) -> None:
        """A user who has signed in has joined or left the portal."""
        ...

    async def set_power(self, author: Author, channel: ChannelId, person: PersonId, level: int) -> None:
        """By a role that stands for this level, if the settings name one."""
        ...

    async def open_direct(self, author: Author, people: Sequence[PersonId]) -> Channel:
        """A direct chat with them: the author's login's, else the bot's."""
        ...

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
        """At most `limit` messages at the newest end, or before or after that message (which need not be there any
        more; it is not among them). `page` is the `next` of an answer. In the network's own pace: waits for its limits.
        After message "0": all that there is.

        With `thread`: of that thread. Without: of the channel itself; `Message.thread` tells that one has a thread only
        if it is in it.
        """
        ...

    async def threads(self, channel: ChannelId, after_ms: int) -> Sequence[tuple[ThreadId, MessageId | None, str]]:
        """(thread, root, name) of those in which something was written since, as far as the network can tell."""
        ...

    # --- people, spaces, emoji, files

    async def person(self, person: PersonId) -> RemotePerson:
        """Raises: NotThere."""
        ...

    async def find_person(self, text: str, author: Author) -> RemotePerson | None:
        """By what people call them: an id, @name, an e-mail address."""
        ...

    async def search_people(self, term: str, limit: int) -> Sequence[RemotePerson]: ...

    async def spaces(self) -> Sequence[Space]:
        """Those that the bridge may see, parents before children."""
        ...

    async def emoji(self, space: SpaceId) -> Sequence[RemoteEmoji]: ...

    async def stickers(self, space: SpaceId) -> Sequence[RemoteEmoji]: ...

    async def fetch(self, file: RemoteFile, spool: Spool) -> Fetched:
        """Writes the file into the spool, in pieces. Raises: NotThere, and what the spool raises."""
        ...

    # --- logins

    def login_flows(self) -> Sequence[LoginFlow]: ...

    async def log_in(self, user_id: UserId, flow: str, values: JsonDict, state: JsonDict) -> Login | LoginStep:
        """`values` by field id. Raises: Refused, with what is wrong."""
        ...

    async def add_login(self, login: Login) -> None:
        """It is stored now: connect it."""
        ...

    async def remove_login(self, login: Login) -> None:
        """The user has logged out: forget it, and revoke it if that can be done."""
        ...

    async def status(self) -> Sequence[str]:
        """Lines for people: connections, limits near, what is missing."""
        ...
