"""The listener in the loop, and what it tells in the reactor's thread."""

import asyncio
from typing import Any

from twisted.internet.defer import Deferred

from appservice.bridges.core.network import Bridge, Connected
from appservice.bridges.core.package import Tools
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.listener import INTENT_NAMES, Hears, Listener, Session, wanted_intents
from appservice.bridges.discord.placing import Placing
from appservice.bridges.discord.settings import DiscordSettings

Json = dict[str, Any]

_KEY = "session"
# What is lost of the position is replayed, and dropped by its key.
_REMEMBER_S = 20.0


class Connection:
    """`start`, then `stop`."""

    def __init__(self, *, settings: DiscordSettings, tools: Tools, directory: Directory) -> None:
        self._settings, self._tools, self._directory = settings, tools, directory
        self._bridge: Bridge | None = None
        self._placing: Placing | None = None
        self._listener: Listener | None = None
        self._running: Deferred[None] | None = None
        self._remembered: Session | None = None
        self.is_connected = False
        self.trouble = "not connected yet"
        self.missing: list[str] = []

    async def start(self, bridge: Bridge, placing: Placing) -> None:
        self._bridge, self._placing = bridge, placing
        session = await bridge.recall(_KEY)
        if session is not None:
            self._directory_from(session)
        crossing = self._tools.crossing
        self._listener = Listener(
            token=self._settings.token,
            gateway=self._settings.gateway,
            intents=wanted_intents(members=self._settings.members, presence=self._settings.presence),
            hears=Hears(
                payload=lambda event, data, key: crossing.in_reactor(placing.take, event, data, key),
                connected=lambda *state: crossing.in_reactor(self._connected, *state),
                refused=lambda text: crossing.in_reactor(self._refused, text),
                missing_intents=lambda names: crossing.in_reactor(self._missing, names),
            ),
            # A resumed session tells of no guilds, and this process knows none.
            session=None,
        )
        self._running = crossing.from_asyncio(_until_cancelled(self._listener))
        self._running.addErrback(lambda _: None)

    def _directory_from(self, session: Json) -> None:
        """Who the bot is, before the gateway says so."""
        self._directory.me = dict(session.get("me") or {})

    def _connected(self, is_connected: bool, text: str, has_missed: bool) -> None:
        assert self._bridge is not None
        self.is_connected, self.trouble = is_connected, text
        state = Connected(login=None, is_connected=is_connected, text=text, has_missed=has_missed)
        self._bridge.connection(state)
        if is_connected:
            self._tools.tasks.background("discord.remember", self._remember())

    def _refused(self, text: str) -> None:
        """A person has to do something: that is said at once."""
        assert self._bridge is not None
        self._bridge.tell(f"Discord: {text}.")

    def _missing(self, names: list[str]) -> None:
        assert self._bridge is not None
        self.missing = names
        for name in names:
            title = INTENT_NAMES[name]
            self._bridge.tell(
                f"The **{title} Intent** is not switched on: switch it on in the developer portal, under Bot, and start"
                f" the bridge again. Until then {_WITHOUT[name]}."
            )

    async def _remember(self) -> None:
        assert self._bridge is not None
        if self._directory.me:
            await self._bridge.remember(_KEY, {"me": self._directory.me})

    def latency_s(self) -> float:
        return 0.0 if self._listener is None else self._listener.latency()

    async def stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()


async def _until_cancelled(listener: Listener) -> None:
    try:
        await listener.run()
    except asyncio.CancelledError:
        return


_WITHOUT = {
    "message_content": "the bridge does not see what people on Discord write",
    "members": "the members of channels are not shown",
    "presences": "it is not shown who is online",
}
