"""The gateway, version 10: a websocket on which a bot identifies and hears of everything its intents ask for.

Sessions outlive their sockets: what is dispatched meanwhile is kept and replayed to who resumes.
Source: Discord developer documentation, "Gateway", "Gateway Events", "Opcodes and Status Codes".
"""

import asyncio
import json
import time
import zlib
from typing import Any

from aiohttp import WSMsgType, web
from attrs import define, field

from tests.support.fake_discord.intents import Intent, needed_for, without_content
from tests.support.fake_discord.limits import Window
from tests.support.fake_discord.world import GUILD_MEMBERS, MESSAGE_CONTENT, PRESENCE, THREADS, Bot, World

Json = dict[str, Any]

DISPATCH, HEARTBEAT, IDENTIFY, STATUS, VOICE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, MEMBERS, INVALID, HELLO, ACK = 7, 8, 9, 10, 11
REPLAYED = 10_000


@define(eq=False)
class Session:
    """What a bot is told, numbered; `socket` is None while it is away."""

    id: str
    bot: Bot
    intents: Intent
    sent: list[Json] = field(factory=list)
    sequence: int = 0
    socket: "Socket | None" = None
    resumable: bool = True


@define(eq=False)
class Socket:
    """One connection, and its compressor: one zlib stream for its whole life."""

    ws: web.WebSocketResponse
    compressed: bool
    session: Session | None = None
    beats: int = 0
    outbox: "asyncio.Queue[Json | int]" = field(factory=asyncio.Queue)
    zlib: Any = field(factory=zlib.compressobj)

    async def write(self) -> None:
        """Sends what stands in the outbox, in order; a number closes with that code."""
        while True:
            item = await self.outbox.get()
            if isinstance(item, int):
                await self.ws.close(code=item)
                return
            text = json.dumps(item)
            if self.compressed:
                await self.ws.send_bytes(self.zlib.compress(text.encode()) + self.zlib.flush(zlib.Z_SYNC_FLUSH))
            else:
                await self.ws.send_str(text)

    def put(self, op: int, data: Any = None, **more: Any) -> None:
        self.outbox.put_nowait({"op": op, "d": data, "s": None, "t": None, **more})

    def close(self, code: int) -> None:
        self.outbox.put_nowait(code)


@define(eq=False)
class Gateway:
    """All sessions. `heartbeat_s`, `identify_limit` and `silent` are the tests' to change."""

    world: World
    url: str = ""
    heartbeat_s: float = 41.25
    starts_left: int = 1000
    silent: bool = False
    identifies: int = 0
    resumes: int = 0
    sessions: dict[str, Session] = field(factory=dict)
    sockets: list[Socket] = field(factory=list)
    last_status: Json = field(factory=dict)
    identify_window: Window = field(factory=lambda: Window(1000, 5.0))

    # What the world tells.

    def tell(
        self, event: str, data: Json, *, guild_id: str | None = None, channel_id: str | None = None, to: str = ""
    ) -> None:
        """Dispatches to every bot that may see it and has asked for it; `to` names a single user."""
        for session in list(self.sessions.values()):
            bot = session.bot
            if to and bot.user_id != to:
                continue
            if guild_id and bot.user_id not in self.world.guilds[guild_id].members:
                continue
            if channel_id and not self.world.sees(bot.user_id, channel_id):
                continue
            needed = needed_for(event, guild_id)
            if needed is not None and not session.intents & needed:
                continue
            shown = without_content(event, data, bot.user_id, session.intents, guild_id)
            self.dispatch(session, event, shown)

    def dispatch(self, session: Session, event: str, data: Json) -> None:
        session.sequence += 1
        # A copy: what is kept for a replay must not change with the world.
        payload = json.loads(json.dumps({"op": DISPATCH, "t": event, "s": session.sequence, "d": data}))
        session.sent.append(payload)
        del session.sent[:-REPLAYED]
        if session.socket is not None:
            session.socket.outbox.put_nowait(payload)

    # What a client says.

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=True, max_msg_size=4096)
        await ws.prepare(request)
        socket = Socket(ws, request.query.get("compress") == "zlib-stream")
        writer = asyncio.create_task(socket.write())
        self.sockets.append(socket)
        socket.put(HELLO, {"heartbeat_interval": int(self.heartbeat_s * 1000)})
        try:
            await self._read(socket)
        finally:
            self.sockets.remove(socket)
            if socket.session is not None and socket.session.socket is socket:
                socket.session.socket = None
                # Closed by the client with 1000 or 1001: the session is over, by its own will.
                if ws.close_code in (1000, 1001) and not writer.done():
                    self.sessions.pop(socket.session.id, None)
            writer.cancel()
        return ws

    async def _read(self, socket: Socket) -> None:
        async for message in socket.ws:
            if message.type is not WSMsgType.TEXT:
                return socket.close(4002)
            try:
                payload = json.loads(message.data)
                op, data = payload["op"], payload.get("d")
            except (ValueError, KeyError, TypeError):
                return socket.close(4002)
            self._receive(socket, op, data)
        return None

    def _receive(self, socket: Socket, op: int, data: Any) -> None:
        if op == HEARTBEAT:
            socket.beats += 1
            if not self.silent:
                socket.put(ACK)
        elif op == IDENTIFY:
            self._identify(socket, data)
        elif op == RESUME:
            self._resume(socket, data)
        elif socket.session is None:
            socket.close(4003)
        elif op == MEMBERS:
            self._members(socket.session, data)
        elif op == STATUS:
            self.last_status = data
        elif op != VOICE:
            socket.close(4001)

    def _identify(self, socket: Socket, data: Json) -> None:
        if socket.session is not None:
            return socket.close(4005)
        bot = self.world.bots.get(data.get("token", ""))
        if bot is None or bot.revoked:
            return socket.close(4004)
        intents = data.get("intents")
        if not isinstance(intents, int) or intents >> 26:
            return socket.close(4013)
        if not _granted(bot, Intent(intents)):
            return socket.close(4014)
        if not self.identify_window.take() or self.starts_left <= 0:
            return socket.put(INVALID, False)
        self.identifies += 1
        self.starts_left -= 1
        session = Session(f"{int(time.time() * 1e6):x}{self.identifies:x}", bot, Intent(intents), socket=socket)
        self.sessions[session.id] = socket.session = session
        self._ready(session)
        return None

    def _ready(self, session: Session) -> None:
        world, me = self.world, session.bot.user_id
        guilds = [guild for guild in world.guilds.values() if me in guild.members]
        ready = {
            "v": 10,
            "user": world.users[me],
            "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "application": {"id": session.bot.application_id, "flags": session.bot.flags},
        }
        self.dispatch(session, "READY", ready)
        for guild in guilds:
            self.dispatch(session, "GUILD_CREATE", {**self.show_guild(guild.id, session), "unavailable": False})

    def show_guild(self, guild_id: str, session: Session) -> Json:
        """A guild as GUILD_CREATE shows it: with its channels, threads, and members as the intents allow."""
        world, me = self.world, session.bot.user_id
        guild = world.guilds[guild_id]
        seen = [channel for channel in world.channels_of(guild_id) if world.sees(me, channel["id"])]
        all_members = bool(session.intents & Intent.GUILD_MEMBERS)
        members = list(guild.members.values()) if all_members else [guild.members[me]]
        return {
            **world.show_guild(guild),
            "joined_at": guild.members[me]["joined_at"],
            "large": len(guild.members) > 250,
            "member_count": len(guild.members),
            "channels": [channel for channel in seen if channel["type"] not in THREADS],
            "threads": [each for each in seen if each["type"] in THREADS and not each["thread_metadata"]["archived"]],
            "members": members[:250],
            "presences": list(guild.presences.values()) if session.intents & Intent.GUILD_PRESENCES else [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def _resume(self, socket: Socket, data: Json) -> None:
        session = self.sessions.get(data.get("session_id") or "")
        sequence = data.get("seq")
        if session is None or not session.resumable or data.get("token") != session.bot.token or session.bot.revoked:
            return socket.put(INVALID, False)
        if not isinstance(sequence, int) or sequence > session.sequence:
            return socket.close(4007)
        self.resumes += 1
        session.socket, socket.session = socket, session
        for payload in session.sent:
            if payload["s"] > sequence:
                socket.outbox.put_nowait(payload)
        self.dispatch(session, "RESUMED", {})
        return None

    def _members(self, session: Session, data: Json) -> None:
        guild = self.world.guilds.get(str(data.get("guild_id")))
        if guild is None or session.bot.user_id not in guild.members:
            return
        found = list(guild.members.values())
        if data.get("user_ids"):
            wanted = [str(each) for each in data["user_ids"]]
            found = [guild.members[each] for each in wanted if each in guild.members]
        elif data.get("query"):
            found = [each for each in found if _name(each).lower().startswith(data["query"].lower())]
        elif not session.intents & Intent.GUILD_MEMBERS:
            found = [guild.members[session.bot.user_id]]
        if data.get("limit"):
            found = found[: data["limit"]]
        pages = [found[at : at + 1000] for at in range(0, len(found), 1000)] or [[]]
        for index, members in enumerate(pages):
            chunk = {"guild_id": guild.id, "members": members, "chunk_index": index, "chunk_count": len(pages)}
            self.dispatch(session, "GUILD_MEMBERS_CHUNK", {**chunk, "nonce": data.get("nonce")})


def _name(member: Json) -> str:
    return str(member["nick"] or member["user"]["global_name"] or member["user"]["username"])


def _granted(bot: Bot, intents: Intent) -> bool:
    """Whether the owner has switched on the privileged ones among these."""
    flags = {
        Intent.GUILD_MEMBERS: GUILD_MEMBERS,
        Intent.GUILD_PRESENCES: PRESENCE,
        Intent.MESSAGE_CONTENT: MESSAGE_CONTENT,
    }
    return all(bot.flags & (flag | flag >> 1) for intent, flag in flags.items() if intents & intent)
