"""The gateway: discord.py's client, supervised.

The library speaks the protocol: heartbeats, zlib, resume, op 7, invalid sessions. Every payload is taken as it comes
off the wire, before the library reads it, and the library is given only what it needs for the protocol: what it makes
of the rest nobody uses, and a payload that it does not expect would end its client. Should it end all the same, it is
started anew, and resumes where it was. Where that cannot be (the session is over, or too long ago), core is told that
something may have been missed.

The session's id and number are remembered now and then, and at the end: a bridge that comes back within some minutes
resumes too. What is replayed twice has the same key, and is taken once.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import discord
import orjson
import yarl
from attrs import frozen
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

Json = dict[str, Any]

# Between two attempts. Discord allows 1000 sessions a day: below 100 s on the whole.
_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0)
# A bad token stays bad until a person mends it.
_REFUSED_PAUSE_S = 300.0
_RESUME_ATTEMPTS = 3
_HANDSHAKE_S = 60.0
_RESUMABLE = 4000
_READ_BY_LIBRARY = {"READY", "RESUMED"}
# Privileged intents, by the flags of the application that grant them (the second: for bots in few guilds).
_PRIVILEGED = {"presences": (12, 13), "members": (14, 15), "message_content": (18, 19)}
INTENT_NAMES = {"presences": "Presence", "members": "Server Members", "message_content": "Message Content"}

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Session:
    """What resuming needs."""

    id: str
    sequence: int
    url: str

    def to_json(self) -> Json:
        return {"id": self.id, "sequence": self.sequence, "url": self.url}

    @classmethod
    def from_json(cls, data: Json | None) -> "Session | None":
        return None if not data else cls(id=str(data["id"]), sequence=int(data["sequence"]), url=str(data["url"]))


@frozen(kw_only=True)
class Hears:
    """Whom the listener tells, in the loop's thread: a payload (event, data, key); how the connection stands (text,
    whether something may have been missed); what only a person can mend."""

    payload: Callable[[str, Json, str], None]
    connected: Callable[[bool, str, bool], None]
    refused: Callable[[str], None]
    missing_intents: Callable[[list[str]], None]


def wanted_intents(*, members: bool, presence: bool) -> discord.Intents:
    """What the bridge asks for; what each is for stands in docs/bridges.md."""
    intents = discord.Intents(
        guilds=True,
        guild_messages=True,
        guild_reactions=True,
        guild_typing=True,
        guild_polls=True,
        dm_messages=True,
        dm_reactions=True,
        dm_typing=True,
        dm_polls=True,
        message_content=True,
        emojis_and_stickers=True,
        moderation=True,
        webhooks=True,
    )
    intents.members = members
    intents.presences = presence
    return intents


def missing_intents(intents: discord.Intents, flags: int) -> list[str]:
    """Privileged intents that are wanted, and that the application's owner has not switched on."""
    return [
        name
        for name, bits in _PRIVILEGED.items()
        if getattr(intents, name) and not any(flags >> bit & 1 for bit in bits)
    ]


class Listener:
    """`run` until it is cancelled."""

    def __init__(
        self, *, token: str, gateway: str, intents: discord.Intents, hears: Hears, session: Session | None = None
    ) -> None:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        # Nobody speaks here: that libraries for voice are missing would only worry who reads the log.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        self._token, self._gateway, self._intents, self._hears = token, gateway, intents, hears
        self._client: _Client | None = None
        self.session = session
        self.latency_s = 0.0

    async def run(self) -> None:
        """Connects, and connects again. Cancel it to end it: the session stays resumable for some minutes."""
        failures = 0
        while True:
            pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
            try:
                await self._once()
            except asyncio.CancelledError:
                raise
            except (discord.LoginFailure, discord.PrivilegedIntentsRequired, discord.ConnectionClosed) as error:
                self._hears.connected(False, _told(error), True)
                if _is_final(error):
                    pause_s = _REFUSED_PAUSE_S
                    self._hears.refused(_told(error))
            except (OSError, aiohttp.ClientError, TimeoutError, discord.DiscordException) as error:
                self._hears.connected(False, f"Discord cannot be reached: {type(error).__name__}: {error}", True)
            except Exception:
                # A payload that the library does not expect. We have it; the library begins again.
                logger.exception("discord.py ended; it is started again")
                self._hears.connected(False, "the connection to Discord is made anew after an unexpected answer", True)
            was_connected = self._client is not None and self._client.was_connected
            failures = 1 if was_connected else failures + 1
            if failures > _RESUME_ATTEMPTS:
                # Perhaps it is the address to resume at that is gone.
                self.session = None
            await asyncio.sleep(_PAUSES_S[0] if was_connected and pause_s != _REFUSED_PAUSE_S else pause_s)

    async def _once(self) -> None:
        self._client = client = _Client(self._intents, self._hears, self.session)
        try:
            async with client:
                await client.login(self._token)
                self._drop_what_is_not_granted(client)
                await client.listen()
        finally:
            self.session = client.session
            self.latency_s = 0.0

    def _drop_what_is_not_granted(self, client: "_Client") -> None:
        """Without the intent the gateway would refuse everything: better some than nothing."""
        missing = missing_intents(self._intents, client.application_flags.value)
        for name in missing:
            setattr(client._connection._intents, name, False)
        if missing:
            self._hears.missing_intents(missing)

    def current_session(self) -> Session | None:
        """To be remembered."""
        return self.session if self._client is None else self._client.session

    def latency(self) -> float:
        """Seconds from a heartbeat to its answer; 0 without a connection."""
        client = self._client
        return client.latency if client is not None and client.ws is not None and not client.is_closed() else 0.0


class _Client(discord.Client):
    """One life of the library. It keeps nothing that can be kept out of it."""

    def __init__(self, intents: discord.Intents, hears: Hears, session: Session | None) -> None:
        super().__init__(
            intents=discord.Intents._from_value(intents.value),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            enable_debug_events=True,
            guild_ready_timeout=0.5,
        )
        self._hears = hears
        self.session = session
        self.was_connected = False
        for event in set(self._connection.parsers) - _READ_BY_LIBRARY:
            del self._connection.parsers[event]

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """All that the library tells. The raw payload comes first, and before it is read."""
        if event == "socket_raw_receive":
            self._received(args[0])
        else:
            super().dispatch(event, *args, **kwargs)

    def _received(self, text: str) -> None:
        payload = orjson.loads(text)
        if payload.get("op") != 0:
            return
        event, data, sequence = payload["t"], payload["d"], payload["s"]
        if event == "READY":
            self.session = Session(id=data["session_id"], sequence=sequence, url=data["resume_gateway_url"])
            self.was_connected = True
            self._hears.payload(event, data, f"{self.session.id}:{sequence}")
            self._hears.connected(True, "", True)
            return
        if self.session is None:
            return
        self.session = Session(id=self.session.id, sequence=sequence, url=self.session.url)
        if event == "RESUMED":
            self.was_connected = True
            self._hears.connected(True, "", False)
        else:
            self._hears.payload(event, data, f"{self.session.id}:{sequence}")

    async def listen(self) -> None:
        """As Client.connect, but resumes a session of before, and leaves what ends the connection to the supervisor.

        Raises: what ends it; comes back when it is to be made anew.
        """
        session = self.session
        resume = session is not None
        while not self.is_closed():
            given: dict[str, Any] = {}
            if resume and session is not None:
                given = {"session": session.id, "sequence": session.sequence, "gateway": yarl.URL(session.url)}
            coroutine = DiscordWebSocket.from_client(self, shard_id=None, resume=resume, initial=True, **given)
            self.ws = await asyncio.wait_for(coroutine, timeout=_HANDSHAKE_S)
            try:
                await self._poll(self.ws)
            except ReconnectWebSocket as again:
                resume, session = again.resume, self.session
                if not resume:
                    self.session = session = None
                await asyncio.sleep(0 if resume else 1)
            except discord.ConnectionClosed as closed:
                if closed.code == 4014:
                    raise discord.PrivilegedIntentsRequired(None) from closed
                raise

    @staticmethod
    async def _poll(ws: DiscordWebSocket) -> None:
        """Until something ends it. A socket that is still open then is closed so that the session can be resumed: with
        the library's own 1000 it would be over."""
        try:
            while True:
                await ws.poll_event()
        finally:
            if ws.open:
                await ws.close(code=_RESUMABLE)


def _told(error: Exception) -> str:
    if isinstance(error, discord.LoginFailure):
        return "Discord does not accept the bot's token: set a new one in bridge.yaml, and start the bridge again"
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return "Discord refuses the intents: switch them on in the developer portal, under Bot"
    if isinstance(error, discord.ConnectionClosed) and error.code == 4004:
        return "the bot's token was revoked: set a new one in bridge.yaml, and start the bridge again"
    return f"Discord closed the connection ({error})"


def _is_final(error: Exception) -> bool:
    if isinstance(error, discord.ConnectionClosed):
        return error.code in (4004, 4010, 4011, 4012, 4013, 4014)
    return True
