"""The RTM API: what a client hears that no app does (typing, presence, what was read), and typing the other way.

Source: docs.slack.dev, "Legacy: the RTM API".
"""

import asyncio
import contextlib
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from attrs import define, field

from tests.support.fake_slack.core import Core
from tests.support.fake_slack.grants import Token
from tests.support.fake_slack.world import Channel, Json


@define(eq=False)
class Listener:
    token: Token
    socket: web.WebSocketResponse
    presences: set[str] = field(factory=set)


class Rtm:
    """A listener of the world, for people's own connections."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.listeners: list[Listener] = []
        core.world.listeners.append(self.tell)

    async def serve(self, request: web.Request, token: Token) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        listener = Listener(token, socket)
        await socket.send_str('{"type":"hello","region":"fake","start":true}')
        self.listeners.append(listener)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._take(listener, orjson.loads(message.data))
        finally:
            with contextlib.suppress(ValueError):
                self.listeners.remove(listener)
        return socket

    def tell(self, event: Json, channel: Channel | None) -> None:
        for listener in self.listeners:
            if self._hears(listener, event, channel):
                text = orjson.dumps({key: value for key, value in event.items() if key != "only_for"}).decode()
                task = asyncio.get_running_loop().create_task(_send(listener, text))
                task.add_done_callback(lambda done: done.exception())

    def _hears(self, listener: Listener, event: Json, channel: Channel | None) -> bool:
        user_id = listener.token.user_id
        if listener.token.revoked or event.get("only_for", user_id) != user_id:
            return False
        if event["type"] == "presence_change":
            return event["user"] in listener.presences
        if event["type"] == "user_typing" and event["user"] == user_id:
            return False
        return channel is None or user_id in channel.members

    async def _take(self, listener: Listener, asked: dict[str, Any]) -> None:
        if asked.get("type") == "ping":
            await listener.socket.send_str(
                orjson.dumps({**asked, "type": "pong", "reply_to": asked.get("id")}).decode()
            )
        elif asked.get("type") == "typing":
            channel = self._core.world.channels.get(str(asked.get("channel")))
            if channel is not None and listener.token.user_id in channel.members:
                self._core.acts.typing(channel, listener.token.user_id)
        elif asked.get("type") == "presence_sub":
            listener.presences = set(asked.get("ids", []))
            for user_id in listener.presences & set(self._core.world.presence):
                told = {"type": "presence_change", "user": user_id, "presence": self._core.world.presence[user_id]}
                await listener.socket.send_str(orjson.dumps(told).decode())

    async def cut(self) -> None:
        for listener in list(self.listeners):
            await listener.socket.close()

    async def goodbye(self) -> None:
        for listener in list(self.listeners):
            await listener.socket.send_str('{"type":"goodbye"}')
            await listener.socket.close()


async def _send(listener: Listener, text: str) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        await listener.socket.send_str(text)
