"""Names and topics that must wait: Discord changes those of a channel twice in ten minutes.

The newest wish of each channel is remembered and done when it may be; meanwhile its messages go on.
"""

import logging
from typing import Any

from attrs import evolve

from appservice.bridges.core.errors import NetworkError, Temporary
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author, ChannelSettings
from appservice.bridges.discord.channels import Channels
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from matrix.ids import UserId

Json = dict[str, Any]

_KEY = "settings"
# A shorter wait is waited for.
_SHORT_S = 15.0
_OTHERWISE_S = 300.0

logger = logging.getLogger(__name__)


class Renaming:
    def __init__(self, *, bridge: Bridge, channels: Channels, clock: Clock, tasks: Tasks) -> None:
        self._bridge, self._channels, self._clock, self._tasks = bridge, channels, clock, tasks
        self._wishes: dict[str, Json] = {}

    async def start(self) -> None:
        """Goes on with what was waiting."""
        self._wishes = await self._bridge.recall(_KEY) or {}
        for channel in list(self._wishes):
            self._tasks.background("discord.rename", self._later(ChannelId(channel), 1.0), endless=True)

    async def set(self, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
        """Raises: NetworkError."""
        if channel in self._wishes:
            await self._wish(channel, author, settings)
            return
        try:
            await self._channels.set(author, channel, settings)
        except Temporary as error:
            if error.retry_after_s is None or error.retry_after_s <= _SHORT_S:
                raise
            await self._wish(channel, author, settings)
            minutes = max(1, round(error.retry_after_s / 60))
            text = f"Discord lets a channel be renamed twice in ten minutes: it will be done in {minutes} minutes."
            self._bridge.tell(text, channel=channel)
            self._tasks.background("discord.rename", self._later(channel, error.retry_after_s), endless=True)

    async def _wish(self, channel: ChannelId, author: Author, settings: ChannelSettings) -> None:
        before = self._wishes.get(channel, {})
        now: Json = {**before, "by": author.user_id}
        if settings.name is not None:
            now["name"] = settings.name
        if settings.topic is not None:
            now["topic"] = settings.topic
        self._wishes[channel] = now
        await self._bridge.remember(_KEY, self._wishes)

    async def _later(self, channel: ChannelId, seconds: float) -> None:
        while channel in self._wishes:
            await self._clock.sleep(seconds)
            wish = self._wishes[channel]
            author = Author(user_id=UserId(wish["by"]), name="")
            settings = evolve(ChannelSettings(), name=wish.get("name"), topic=wish.get("topic"))
            try:
                await self._channels.set(author, channel, settings)
            except Temporary as error:
                seconds = error.retry_after_s or _OTHERWISE_S
                continue
            except NetworkError as error:
                self._bridge.tell(f"The channel's name is not changed on Discord: {error}.", channel=channel)
            if self._wishes.get(channel) == wish:
                del self._wishes[channel]
                await self._bridge.remember(_KEY, self._wishes)
