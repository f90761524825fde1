"""A bridge to the fake Discord beside a real Hearth, to be killed at any moment.

    async def test_a_message_comes_over(town: Town) -> None:
        alice, room = await town.alice(), await town.open(town.garden)
        town.discord.post(town.garden, town.carol, "hello")
        await town.says(alice, room, "hello")

The homeserver tells the bridge over a real port; the bridge asks the homeserver in memory, and Discord over sockets.
discord.py runs in a loop of a thread of its own, since the tests' reactor is not asyncio's.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import evolve
from twisted.internet import reactor

from appservice.bridges.core.assembly import Assembled
from appservice.bridges.core.crossing import Crossing, LoopThread
from appservice.bridges.core.package import Tools
from appservice.bridges.discord.network import DiscordNetwork
from appservice.bridges.discord.settings import DiscordSettings
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from tests.support.bridges import People, RunningBridge, passes, registrations, settings_of
from tests.support.fake_discord import Bot, FakeDiscord
from tests.support.homeserver import Client, Homeserver, q
from tests.support.ports import free_port

Json = dict[str, Any]
WAIT_S = 60.0


class Process:
    """One life of the bridge: the network with its loop, and core."""

    def __init__(self, town: "Town") -> None:
        self.thread = LoopThread()
        loop = self.thread.start()
        clock = Clock(reactor, monotonic=time.monotonic)  # type: ignore[arg-type]
        self.tasks = Tasks(clock=clock)
        tools = Tools(
            reactor=reactor,  # type: ignore[arg-type]
            clock=clock,
            tasks=self.tasks,
            metrics=Metrics(),
            crossing=Crossing(loop, reactor, is_same_thread=False),  # type: ignore[arg-type]
            directory=town.directory,
            logger=logging.getLogger("discord"),
        )
        self.tools = tools
        self.network = DiscordNetwork(town.discord_settings, tools)
        self.bridge = RunningBridge(town.hs, self.network, town.settings)

    async def start(self) -> None:
        await self.bridge.start()

    async def kill(self) -> None:
        """As the kernel would: nothing that was begun goes on."""
        await self.bridge.kill()
        await self.tasks.stop(0)
        self.thread.loop.call_soon_threadsafe(self.thread.loop.stop)
        self.thread._thread.join(10)

    async def stop(self) -> None:
        await self.bridge.stop()
        await self.tasks.stop(1)
        self.thread.stop()


class Town(People):
    """Carol's server Wonderland with the channel garden; the bridge's bot is in it."""

    wait_s = WAIT_S

    def __init__(self, hs: Homeserver, discord: FakeDiscord, directory: Path, port: int) -> None:
        self.hs, self.discord, self.directory = hs, discord, directory
        self.carol = discord.person("carol", "Carol")
        self.guild = discord.guild("Wonderland", self.carol)
        self.garden = discord.channel(self.guild, "garden", topic="roses")
        self.bot: Bot = discord.bot("Hearth", self.guild)
        self.settings = settings_of("discord", port)
        self.discord_settings = DiscordSettings(
            token=self.bot.token, api=discord.api, gateway=discord.gateway_url, cdn=discord.cdn
        )
        self.process = Process(self)

    async def start(self, *, connects: bool = True) -> None:
        await self.process.start()
        if connects:
            await self.until(lambda: self.process.network._connection.is_connected, "connected")
            await self.until(lambda: self.guild in self.process.network._directory.guilds, "the guild")

    async def restart(self, **options: Any) -> None:
        """A new process, after a kill or a stop."""
        self.process = self.new_process(**options)
        await self.start()

    def new_process(self, **options: Any) -> Process:
        self.discord_settings = evolve(self.discord_settings, **options)
        return Process(self)

    # Matrix.

    async def alice(self) -> Client:
        alice = await self.user("alice")
        await alice.ok("PUT", f"/profile/{q(alice.user_id)}/displayname", {"displayname": "Alice"})
        return alice

    @property
    def parts(self) -> Assembled:
        return self.process.bridge.parts

    def ghost(self, person: Json | str) -> str:
        return super().ghost(person if isinstance(person, str) else person["id"])

    async def texts(self, client: Client, room: str) -> list[str]:
        events = await self.events(client, room)
        return [event["content"]["body"] for event in events if event["content"].get("body")]

    async def bot_state(self, room: str, event_type: str, key: str = "") -> Any:
        """As the bridge's bot sees it."""
        context = self.parts.context
        return await context.matrix.state(context.bot, room, event_type, key)

    async def space_of(self, client: Client, room: str) -> str:
        """The space in which the room is."""
        events = await client.get(f"/rooms/{q(room)}/state")
        return next(str(each["state_key"]) for each in events if each["type"] == "m.space.parent")

    async def give_power(self, client: Client, room: str, level: int) -> None:
        context = self.parts.context
        levels = await self.bot_state(room, "m.room.power_levels")
        levels["users"][client.user_id] = level
        await context.matrix.put_state(context.bot, room, "m.room.power_levels", levels)

    # Discord.

    async def posted(self, channel: str, text: str) -> Json:
        """Comes back with the message of Discord that holds this text."""
        return await self.message(channel, lambda each: text in each["content"], f"{text!r} on Discord")

    async def message(self, channel: str, test: Callable[[Json], Any], what: str) -> Json:
        found: list[Json] = []

        def look() -> bool:
            found[:] = [each for each in self.discord.messages(channel) if passes(test, each)]
            return bool(found)

        await self.until(look, what)
        return found[0]

    async def settle(self, client: Client, room: str, channel: str) -> None:
        """Comes back when all that was done before has come over, both ways: marks follow it."""
        mark = f"mark {self.discord.world.ids.next()}"
        self.discord.post(channel, self.carol, f"{mark} in")
        await self.says(client, room, f"{mark} in")
        await client.send(room, f"{mark} out")
        await self.posted(channel, f"{mark} out")
        await self.parts.inbox.idle()


@pytest_twisted.async_yield_fixture
async def town(start_homeserver: Any, tmp_path: Path, fake: FakeDiscord) -> Iterator[Town]:
    """A bridge that runs between a homeserver and a Discord."""
    port = free_port()
    files = ", ".join(map(str, registrations("discord", tmp_path, port)))
    hs = await start_homeserver(f"app_service_config_files: [{files}]\n")
    found = Town(hs, fake, tmp_path, port)
    await found.start()
    yield found
    await found.process.stop()
    await hs.server.appservices.stop()
