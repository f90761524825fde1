"""discord.py against the fake: a client that keeps what it hears, for a test to wait for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import discord
import yarl
from discord.asset import Asset
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.support.fake_discord import Bot, FakeDiscord

WAIT_S = 60.0


class Listener(discord.Client):
    """`next("message")` is the next message; by the names of discord.py's events."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, guild_ready_timeout=0.05, enable_debug_events=True)
        self._heard: dict[str, asyncio.Queue[Any]] = {}
        self._count: Counter[str] = Counter()
        self.ended: asyncio.Task[None]

    def dispatch(self, event: str, /, *args: Any, **more: Any) -> None:
        self._count[event] += 1
        self._queue(event).put_nowait(args[0] if args else None)
        if event == "socket_raw_receive" and '"op": 11' in args[0]:
            self._queue("beat").put_nowait(None)
        super().dispatch(event, *args, **more)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library waits here for five seconds."""

    def _queue(self, event: str) -> "asyncio.Queue[Any]":
        return self._heard.setdefault(event, asyncio.Queue())

    async def next(self, event: str) -> Any:
        return await asyncio.wait_for(self._queue(event).get(), WAIT_S)

    def seen(self, event: str) -> int:
        return self._count[event]


@asynccontextmanager
async def listening(fake: FakeDiscord, bot: Bot, intents: discord.Intents | None = None) -> AsyncIterator[Listener]:
    """A client that is ready. What ends its connection is raised here."""
    point_library_at(fake)
    client = Listener(intents or discord.Intents.all())
    async with client:
        client.ended = asyncio.create_task(client.start(bot.token))
        ready = asyncio.create_task(client.next("ready"))
        await asyncio.wait([client.ended, ready], return_when=asyncio.FIRST_COMPLETED)
        if client.ended.done():
            ready.cancel()
            client.ended.result()
        with suppress(asyncio.QueueEmpty):
            client._queue("connect").get_nowait()
        yield client
        client.ended.cancel()


def point_library_at(fake: FakeDiscord) -> None:
    Route.BASE = fake.api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(fake.gateway_url)
    Asset.BASE = fake.cdn
