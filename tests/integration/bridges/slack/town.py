"""A bridge to the fake Slack beside a real Hearth, to be killed at any moment.

    async def test_a_message_comes_over(town: SlackTown) -> None:
        alice = await town.user("alice")
        room = await town.open_channel(town.general, alice)
        town.maria.post(town.general, "hello")
        await town.says(alice, room, "hello")

The homeserver tells the bridge over a real port; the bridge asks the homeserver in memory, and Slack over sockets.
slack_sdk runs in a loop of a thread of its own, since the tests' reactor is not asyncio's.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import evolve
from twisted.internet import reactor

from appservice.bridges.core.crossing import Crossing, LoopThread
from appservice.bridges.core.package import Tools
from appservice.bridges.core.settings import BridgeSettings
from appservice.bridges.slack.ids import person_id
from appservice.bridges.slack.network import SlackNetwork
from appservice.bridges.slack.settings import SlackSettings
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from tests.support.bridges import RunningBridge, Town, passes, registrations, settings_of
from tests.support.fake_slack import Channel, FakeSlack, Json, Person, Token
from tests.support.homeserver import Client, Homeserver
from tests.support.ports import free_port

TEAM = "T0HEARTH"
WAIT_S = 60.0


class SlackProcess(RunningBridge):
    """One life of the bridge: the network with its loop, and core."""

    def __init__(self, hs: Homeserver, settings: BridgeSettings, slack_settings: SlackSettings, place: Path) -> None:
        self.thread = LoopThread()
        loop = self.thread.start()
        clock = Clock(reactor, monotonic=time.monotonic)  # type: ignore[arg-type]
        self.slack_tasks = Tasks(clock=clock)
        tools = Tools(
            reactor=reactor,  # type: ignore[arg-type]
            clock=clock,
            tasks=self.slack_tasks,
            metrics=Metrics(),
            crossing=Crossing(loop, reactor, is_same_thread=False),  # type: ignore[arg-type]
            directory=place,
            logger=logging.getLogger("slack"),
        )
        super().__init__(hs, SlackNetwork(settings=slack_settings, tools=tools), settings)

    async def kill(self) -> None:
        """As the kernel would: nothing that was begun goes on."""
        await super().kill()
        await self.slack_tasks.stop(0)
        self.thread.loop.call_soon_threadsafe(self.thread.loop.stop)
        self.thread._thread.join(10)

    async def stop(self) -> None:
        await super().stop()
        await self.slack_tasks.stop(1)
        self.thread.stop()


class SlackTown(Town):
    """Maria and Joe in the workspace Hearth Works, with the channel general; the bridge's bot is in it."""

    wait_s = WAIT_S

    def __init__(self, hs: Homeserver, slack: FakeSlack, place: Path, port: int) -> None:
        self.slack = slack
        self.app = slack.add_app()
        self.maria = slack.add_person("maria")
        self.joe = slack.add_person("joe")
        self.general = slack.add_channel("general", self.maria, self.joe, self.app)
        self.slack_settings = SlackSettings(
            bot_token=slack.bot_token(self.app).text,
            app_token=slack.app_token(self.app).text,
            signing_secret=self.app.signing_secret,
            api_url=slack.api_url,  # type: ignore[arg-type]
            socket_ping_s=0.2,
        )
        self._place = place
        super().__init__(hs, settings_of("slack", port))

    def _new(self) -> SlackProcess:
        return SlackProcess(self.hs, self.settings, self.slack_settings, self._place)

    async def start(self) -> None:
        await self.bridge.start()
        await self.until(lambda: self.slack.server.sockets.of(self.app), "a socket")

    async def restart(self, **options: Any) -> None:
        self.slack_settings = evolve(self.slack_settings, **options)
        self.bridge = self._new()
        await self.start()

    async def until_state(
        self, client: Client, room: str, event_type: str, test: Callable[[Json], Any], key: str = ""
    ) -> None:
        """Comes back when that is true of the state."""

        async def look() -> bool:
            content = await self.state(client, room, event_type, key)
            return content is not None and passes(test, content)

        await self.eventually(look, f"{event_type} {key}")

    @property
    def network_of_slack(self) -> SlackNetwork:
        assert isinstance(self.bridge.network, SlackNetwork)
        return self.bridge.network

    async def posted(self, channel: Channel, test: "Callable[[Json], Any] | str") -> Json:
        """Comes back with the message of Slack that holds this text, or of which that is true."""
        found: list[Json] = []
        check = (lambda message: test in message["text"]) if isinstance(test, str) else test

        def look() -> bool:
            found[:] = [message for message in self.slack.messages(channel) if passes(check, message)]
            return bool(found)

        await self.until(look, f"{test!r} in Slack: {self.slack.texts(channel)}")
        return found[0]

    async def open_channel(self, channel: Channel, *members: Client) -> str:
        return await self.open(f"{TEAM}-{channel.id}", *members)

    async def portal_of(self, channel: Channel) -> str:
        """The room of a channel, when there is one."""
        await self.until(lambda: self.bridge.parts.portals.of_channel(f"{TEAM}-{channel.id}"), "a room of the channel")
        portal = self.bridge.parts.portals.of_channel(f"{TEAM}-{channel.id}")
        assert portal is not None
        return str(portal.room_id)

    def ghost_of(self, person: Person) -> str:
        return self.ghost(person_id(TEAM, person.id))

    async def log_in(self, client: Client, token: Token) -> str:
        """Signs in by the management room; gives the room."""
        room = await self.management_room(client)
        await self.command(client, room, "login " + ("browser" if token.cookie else "token"))
        words = f"{token.text} {token.cookie}" if token.cookie else token.text
        answer = await self.command(client, room, words)
        assert "igned in" in answer, answer
        return room

    async def settle_slack(self, client: Client, room: str, channel: Channel) -> None:
        """Comes back when all that was done before has come over, both ways: marks follow it."""
        mark = f"mark {self.slack.do(self.slack.core.world.new_ts)}"
        self.joe.post(channel, f"{mark} in")
        await self.says(client, room, f"{mark} in")
        await client.send(room, f"{mark} out")
        await self.posted(channel, f"{mark} out")
        await self.bridge.parts.inbox.idle()


@pytest_twisted.async_yield_fixture
async def town(start_homeserver: Any, tmp_path: Path, slack: FakeSlack) -> Iterator[SlackTown]:
    """A bridge that runs between a homeserver and a Slack."""
    port = free_port()
    slack.server.sockets.retry_after_s = (0.0, 0.2, 0.5, 1.0, 2.0)
    files = ", ".join(map(str, registrations("slack", tmp_path, port)))
    hs = await start_homeserver(f"app_service_config_files: [{files}]\n")
    found = SlackTown(hs, slack, tmp_path, port)
    await found.start()
    yield found
    await found.bridge.stop()
    await hs.server.appservices.stop()
