"""The bridge's Slack side alone: the real network against the fake of Slack, with a core that only writes down.

rig = Rig(slack)
rig.start()
(message,) = rig.read_until(Message)
sent = rig.call(rig.network.send(...))

The network runs as in the bridge's own process: Twisted's coroutines in a loop's thread.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as ManualTime

from appservice.bridges.core.crossing import Crossing, LoopThread
from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId, PersonId, ThreadId
from appservice.bridges.core.incoming import (
    Delivery,
    MatrixPerson,
    MatrixRoom,
    RemoteEmoji,
    RemoteEvent,
    RemoteReferences,
)
from appservice.bridges.core.network import Connected
from appservice.bridges.core.outgoing import Author, Login, MessageRef, OutgoingMessage, Presence, Text
from appservice.bridges.core.package import Tools
from appservice.bridges.slack.network import SlackNetwork
from appservice.bridges.slack.settings import SlackSettings
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from matrix.ids import UserId
from storage.database import DatabaseDown
from tests.support.fake_slack import App, Channel, FakeSlack, Token

T = TypeVar("T")
WAIT_S = 60.0
ALICE = UserId("@alice:hearth.test")


@define
class WritingBridge:
    """Core, as far as the network sees it."""

    deliveries: list[Delivery] = field(factory=list)
    keys: set[str] = field(factory=set)
    states: list[Connected] = field(factory=list)
    typed: list[tuple[str, str]] = field(factory=list)
    presences: list[tuple[str, str]] = field(factory=list)
    told: list[str] = field(factory=list)
    memory: dict[str, JsonDict] = field(factory=dict)
    refuses: int = 0
    changed: threading.Event = field(factory=threading.Event)

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        if self.refuses:
            self.refuses -= 1
            raise DatabaseDown("the database is down")
        for delivery in deliveries:
            if delivery.key is None or delivery.key not in self.keys:
                self.deliveries.append(delivery)
                self.keys.add(delivery.key or "")
        self.changed.set()

    def typing(self, channel: ChannelId, person: PersonId, is_typing: bool = True) -> None:
        self.typed.append((channel, person))
        self.changed.set()

    def presence(self, person: PersonId, presence: Presence, status: str | None = None) -> None:
        self.presences.append((person, presence))
        self.changed.set()

    def connection(self, state: Connected) -> None:
        self.states.append(state)
        self.changed.set()

    def catch_up(self, channels: Sequence[ChannelId] | None = None) -> None: ...

    async def references(
        self,
        *,
        people: Sequence[PersonId] = (),
        channels: Sequence[ChannelId] = (),
        emoji: Sequence[RemoteEmoji] = (),
        messages: Sequence[tuple[ChannelId, MessageId]] = (),
    ) -> RemoteReferences:
        return RemoteReferences(
            people={each: MatrixPerson(user_id=UserId(f"@slack_{each.lower()}:h.test"), name=each) for each in people},
            channels={
                each: MatrixRoom(room_id=f"!{each}:h.test", name=each, link=f"https://matrix.to/#/!{each}:h.test")
                for each in channels
            },
            emoji={each.id: f"mxc://h.test/{each.name}" for each in emoji},
        )

    async def find_ref(self, channel: ChannelId, message: MessageId) -> MessageRef | None:
        return None

    async def find_thread(self, channel: ChannelId, root: MessageId) -> ThreadId | None:
        return None

    async def bridged_channels(self) -> Sequence[ChannelId]:
        return ()

    async def recall(self, key: str) -> JsonDict | None:
        return self.memory.get(key)

    async def remember(self, key: str, value: JsonDict | None) -> None:
        if value is None:
            self.memory.pop(key, None)
        else:
            self.memory[key] = value

    async def update_login(self, login: Login) -> None: ...

    def tell(self, text: str, *, login: object = None, channel: object = None) -> None:
        self.told.append(text)
        self.changed.set()

    def public_url(self, path: str) -> str | None:
        return None


class _Timer:
    """As IDelayedCall."""

    def __init__(self, loop: Any, delay: float, function: Any) -> None:
        self._function = function
        self._is_over = False
        self._handle = loop.call_later(delay, self._run)

    def _run(self) -> None:
        self._is_over = True
        self._function()

    def active(self) -> bool:
        return not self._is_over

    def cancel(self) -> None:
        self._is_over = True
        self._handle.cancel()


class _LoopTime(ManualTime):
    """A reactor as far as a Clock needs one: its timers are the loop's."""

    def __init__(self, loop: Any) -> None:
        super().__init__()
        self._loop = loop

    def seconds(self) -> float:
        return time.time()

    def callLater(self, delay: float, function: Any, *args: Any, **kwargs: Any) -> Any:
        return _Timer(self._loop, delay, lambda: function(*args, **kwargs))

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        self._loop.call_soon_threadsafe(lambda: function(*args, **kwargs))


class Rig:
    """`options` are SlackSettings'; the app's tokens are in them already."""

    def __init__(self, slack: FakeSlack, app: App, directory: Path, **options: Any) -> None:
        self.slack = slack
        self.app = app
        self.bridge = WritingBridge()
        tokens = {"bot_token": slack.bot_token(app).text, "app_token": slack.app_token(app).text}
        settings: Any = {"api_url": slack.api_url, "socket_ping_s": 0.2, **tokens, **options}
        self._thread = LoopThread()
        loop = self._thread.start()
        timer: Any = _LoopTime(loop)
        clock = Clock(timer, monotonic=time.monotonic)
        crossing = Crossing(loop, timer, is_same_thread=True)
        self.tasks = Tasks(clock=clock)
        tools = Tools(
            reactor=timer,
            clock=clock,
            tasks=self.tasks,
            metrics=Metrics(),
            crossing=crossing,
            directory=directory,
            logger=logging.getLogger("slack"),
        )
        self.tools = tools
        self.network = SlackNetwork(settings=SlackSettings(**settings), tools=tools)
        self._loop = loop

    def start(self, logins: Sequence[Login] = (), *, connects: bool = True) -> None:
        self.call(self.network.start(self.bridge, logins))
        if connects:
            self.wait(lambda: any(state.is_connected and state.login is None for state in self.bridge.states))

    def stop(self) -> None:
        async def stop() -> None:
            await self.tasks.stop(0)
            await self.network.stop()

        self.call(stop())
        self._thread.stop()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of the network's gives."""

        async def run() -> T:
            result: T = await Deferred.fromCoroutine(coroutine).asFuture(self._loop)
            return result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S)

    def wait(self, condition: Any) -> Any:
        deadline = time.monotonic() + WAIT_S
        while True:
            self.bridge.changed.clear()
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"waited in vain: {self.bridge}"
            self.bridge.changed.wait(0.2)

    def events(self) -> list[RemoteEvent]:
        """All that was delivered so far, as core would read it."""
        return [event for each in list(self.bridge.deliveries) for event in self.call(self.network.read(each))]

    def until(self, kind: type[T], number: int = 1) -> list[T]:
        """The events of this kind, when there are so many."""

        def found() -> list[T] | None:
            events = [event for event in self.events() if isinstance(event, kind)]
            return events if len(events) >= number else None

        return self.wait(found)  # type: ignore[no-any-return]

    # What core would send

    def channel_id(self, channel: Channel) -> ChannelId:
        return ChannelId(f"T0HEARTH-{channel.id}")

    def message(self, channel: Channel, body: str, **more: Any) -> OutgoingMessage:
        given: Any = {
            "key": "key1",
            "channel": self.channel_id(channel),
            "author": Author(user_id=ALICE, name="Alice", avatar_url="https://hearth.test/alice.png"),
            "kind": "text",
            "text": Text(body=body, formatted_body=more.pop("html", None)),
            **more,
        }
        return OutgoingMessage(**given)

    def ref(self, channel: Channel, ts: str, **more: Any) -> MessageRef:
        return MessageRef(channel=self.channel_id(channel), id=MessageId(ts), **{"is_ours": True, **more})

    def login(self, token: Token) -> Login:
        credentials = {"token": token.text} | ({"cookie": token.cookie} if token.cookie else {})
        person: Any = f"T0HEARTH-{token.user_id}"
        return Login(id=person, user_id=ALICE, person=person, name="alice", credentials=credentials)


class Workspace:
    """The fake with an app, two people, and a channel that all are in; `rig` is started by `connect`."""

    def __init__(self, slack: FakeSlack, directory: Path) -> None:
        self.slack = slack
        self.app = slack.add_app()
        self.maria = slack.add_person("maria", real_name="Maria Lopes")
        self.joe = slack.add_person("joe")
        self.general = slack.add_channel("general", self.maria, self.joe, self.app)
        self._directory = directory
        self._rigs: list[Rig] = []

    def connect(self, logins: Sequence[Token] = (), *, connects: bool = True, **options: Any) -> Rig:
        rig = Rig(self.slack, self.app, self._directory, **options)
        self._rigs.append(rig)
        rig.start([rig.login(token) for token in logins], connects=connects)
        return rig

    def stop(self) -> None:
        for rig in self._rigs:
            rig.stop()
