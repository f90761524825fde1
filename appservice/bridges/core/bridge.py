"""The bridge as the network sees it, and the two ends of the inbox: what is accepted, and who handles it."""

import logging
from collections.abc import Sequence

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import ChannelGone, LoginLost, NetworkError
from appservice.bridges.core.history import History
from appservice.bridges.core.ids import ChannelId, JsonDict, LoginId, MessageId, PersonId, ThreadId
from appservice.bridges.core.inbox import Inbox
from appservice.bridges.core.incoming import Delivery, RemoteEmoji, RemoteReferences
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_events import MatrixEvents
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.network import Connected
from appservice.bridges.core.network_events import NetworkEvents
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.outgoing import Login, MessageRef, Presence
from appservice.bridges.core.passing import Passing
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.references import References
from appservice.bridges.core.status import Status
from homeserver.runtime.linearizer import Linearizer
from storage import bridges, bridges_messages
from storage.bridges_inbox import MATRIX, NETWORK, OWN, Accepted, Waiting

# What concerns no channel.
NO_CHANNEL = ""

logger = logging.getLogger(__name__)


class RunningBridge:
    """Implements network.Bridge."""

    def __init__(
        self, *, context: Context, inbox: Inbox, portals: Portals, logins: Logins, notices: Notices, status: Status,
        passing: Passing,
    ) -> None:  # fmt: skip
        self._context, self._inbox, self._portals, self._logins = context, inbox, portals, logins
        self._notices, self._status, self._passing = notices, status, passing
        self._history: History | None = None
        self._references: References | None = None
        self._map: MessageMap | None = None
        # What was missed is noted before anything that comes after it.
        self._noting = Linearizer()

    def use(self, references: References, message_map: MessageMap, history: History) -> None:
        """What it answers questions with, and who is told of echoes."""
        self._references, self._map, self._history = references, message_map, history

    # --- what comes

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        kept: list[Delivery] = []
        needless: list[Delivery] = []
        for each in deliveries:
            (needless if self._is_needless(each) else kept).append(each)
        items = [
            Accepted(
                queue=each.queue or NO_CHANNEL,
                source=NETWORK,
                payload={"queue": each.queue, "payload": each.payload},
                key=None if each.key is None else f"network {each.key}",
            )
            for each in kept
        ]
        if self._noting.is_held(NO_CHANNEL):
            async with self._noting.of(NO_CHANNEL):
                pass
        if items:
            await self._inbox.accept(items)
        for each in needless:
            # It says nothing new, but that what came before it has come.
            if each.queue and each.echo is not None and not each.echo.is_in_thread:
                assert self._history is not None
                await self._history.saw(each.queue, each.echo.id, each.echo.sent_ms)

    def _is_needless(self, delivery: Delivery) -> bool:
        """An echo; where the channel was gone it says that it is back."""
        portal = None if delivery.echo is None else self._portals.of_channel(delivery.queue or NO_CHANNEL)
        return portal is not None and "gone" not in portal.shown

    def typing(self, channel: ChannelId, person: PersonId, is_typing: bool = True) -> None:
        self._passing.typing(channel, person, is_typing)

    def presence(self, person: PersonId, presence: Presence, status: str | None = None) -> None:
        self._passing.presence(person, presence, status)

    def connection(self, state: Connected) -> None:
        before = self._status.saw(state)
        what = "The bridge" if state.login is None else f"The login {state.login}"
        if before is None or before.is_connected != state.is_connected or before.text != state.text:
            how = "connected" if state.is_connected else "not connected"
            logger.info("%s is %s%s", what, how, f": {state.text}" if state.text else "")
        if state.is_connected:
            self._inbox.hurry()
            if state.login is not None:
                self._context.tasks.background("bridge.login", self._logins.regain(state.login))
            elif state.has_missed:
                self.catch_up()

    def catch_up(self, channels: Sequence[ChannelId] | None = None) -> None:
        self._context.tasks.background("bridge.catch_up", self._note_missed(channels))

    async def _note_missed(self, channels: Sequence[ChannelId] | None) -> None:
        async with self._noting.of(NO_CHANNEL):
            portals = [each for each in self._portals.all() if channels is None or each.channel_id in channels]
            await self._inbox.catch_up([each.channel_id for each in portals if "gone" not in each.shown])

    # --- what is asked

    async def references(
        self,
        *,
        people: Sequence[PersonId] = (),
        channels: Sequence[ChannelId] = (),
        emoji: Sequence[RemoteEmoji] = (),
        messages: Sequence[tuple[ChannelId, MessageId]] = (),
    ) -> RemoteReferences:
        assert self._references is not None
        return await self._references.in_matrix(people, channels, emoji, messages)

    async def find_ref(self, channel: ChannelId, message: MessageId) -> MessageRef | None:
        assert self._map is not None
        return await self._map.ref_of_message(channel, message)

    async def find_thread(self, channel: ChannelId, root: MessageId) -> ThreadId | None:
        row = await self._context.store.read(bridges_messages.thread_of_message, channel, root)
        return None if row is None else ThreadId(row.thread_id)

    async def bridged_channels(self) -> Sequence[ChannelId]:
        return [ChannelId(each.channel_id) for each in self._portals.all()]

    async def recall(self, key: str) -> JsonDict | None:
        return await self._context.store.read(bridges.find_memory, key)

    async def remember(self, key: str, value: JsonDict | None) -> None:
        await self._context.store.run(bridges.put_memory, key, value)

    async def update_login(self, login: Login) -> None:
        if self._logins.find(login.id) is not None:
            await self._logins.put(login)

    def tell(self, text: str, *, login: LoginId | None = None, channel: ChannelId | None = None) -> None:
        self._context.tasks.background("bridge.tell", self._tell(text, login, channel))

    async def _tell(self, text: str, login: LoginId | None, channel: ChannelId | None) -> None:
        row = None if login is None else self._logins.find(login)
        portal = None if channel is None else self._portals.of_channel(channel)
        if row is not None:
            await self._notices.tell_user(row.user_id, text)
        elif portal is not None:
            await self._notices.say_once(portal.room_id, text)
        else:
            await self._notices.tell_admins(text)

    def public_url(self, path: str) -> str | None:
        base = self._context.settings.public.address
        return None if base is None else f"{base.rstrip('/')}/{path.lstrip('/')}"

    # --- what the homeserver tells

    async def take_transaction(self, txn_id: str, events: Sequence[JsonDict], ephemeral: Sequence[JsonDict]) -> None:
        """Durable when it returns; the same transaction is taken once. Raises: DatabaseDown."""
        items = []
        for event in events:
            room_id, sender = event.get("room_id"), event.get("sender")
            if isinstance(sender, str) and self._context.is_own(sender):
                # Every event of ours comes back: nothing is to be done but to know who is where.
                self._saw_own(event)
            elif isinstance(room_id, str):
                items.append(Accepted(queue=self._queue_of(room_id), source=MATRIX, payload=event))
        if items:
            await self._inbox.accept(items, once=f"transaction {txn_id}")
        for event in ephemeral:
            self._passing.take(event)

    def _queue_of(self, room_id: str) -> str:
        """The channel's, once all is done that came to the room before it had one."""
        portal = self._portals.of_room(room_id)
        return room_id if portal is None or self._inbox.is_busy(room_id) else portal.channel_id

    def _saw_own(self, event: JsonDict) -> None:
        content, room_id, user_id = event.get("content"), event.get("room_id"), event.get("state_key")
        is_member = event.get("type") == "m.room.member" and isinstance(content, dict)
        if is_member and isinstance(room_id, str) and isinstance(user_id, str):
            assert isinstance(content, dict)
            self._portals.saw_membership(room_id, user_id, content.get("membership") == "join")


class Handling:
    """What the inbox does with what it holds."""

    def __init__(
        self, *, context: Context, portals: Portals, logins: Logins, notices: Notices, history: History,
        network_events: NetworkEvents, matrix_events: MatrixEvents,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._logins, self._notices = context, portals, logins, notices
        self._history, self._network, self._matrix = history, network_events, matrix_events

    async def handle(self, item: Waiting) -> None:
        """Raises: NetworkError, MatrixRefused, HomeserverDown."""
        try:
            if item.source == NETWORK:
                await self._network.handle(item)
            elif item.source == MATRIX:
                await self._matrix.handle(item)
            else:
                await self._own(item)
        except ChannelGone as error:
            await self._network.rest(error.channel, str(error))
            raise
        except LoginLost as error:
            await self._lost(error)
            raise

    async def _own(self, item: Waiting) -> None:
        portal = self._portals.of_channel(item.queue)
        if portal is None:
            return
        if item.payload["task"] == "begin":
            await self._network.complete(portal)
        elif item.payload["task"] == "older":
            await self._network.bring_older(portal, item.payload["count"])
        elif item.payload["task"] == "catch_up":
            await self._history.catch_up(portal)

    async def _lost(self, error: LoginLost) -> None:
        if error.login is None:
            await self._notices.tell_admins(f"{self._context.network.title} refuses the bridge: {error}.")
            return
        row = await self._logins.lose(error.login, str(error))
        if row is not None:
            text = f"Your login **{row.name}** no longer works: {error}. Say `login` to sign in again."
            await self._notices.tell_user(row.user_id, text)

    async def give_up(self, item: Waiting, error: Exception) -> None:
        """Tells the writer why it was not bridged."""
        reason = str(error) if not _is_bug(error) else "a fault of the bridge; it is in the log"
        logger.warning("Given up in %s: %s: %s", item.queue or "no channel", type(error).__name__, error)
        portal = self._portals.of_channel(item.queue)
        if item.source == MATRIX and item.payload.get("type") not in _QUIET:
            room_id, event_id = item.payload.get("room_id"), item.payload.get("event_id")
            if isinstance(room_id, str) and isinstance(event_id, str):
                text = f"⚠ This did not reach {self._context.network.title}: {reason}."
                await self._notices.say(room_id, text, reply_to=event_id, key=f"failed {event_id}")
        elif item.source == NETWORK and portal is not None and _is_bug(error):
            text = f"⚠ Something from {self._context.network.title} could not be shown here."
            await self._notices.say(portal.room_id, text, key=f"failed {item.seq}")
        elif item.source == OWN and portal is not None and item.payload["task"] == "catch_up":
            # The mark stays where it is: the next time begins there.
            text = f"⚠ What was missed here could not be read: {reason}. It is tried again after `sync`, or a restart."
            await self._notices.say_once(portal.room_id, text)


# Nobody waits for them.
_QUIET = frozenset({"m.room.member", "m.room.encrypted"})


def _is_bug(error: Exception) -> bool:
    return not isinstance(error, NetworkError)
