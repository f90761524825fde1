"""Socket Mode: envelopes, acknowledged or sent again. Source: docs.slack.dev, "Using Socket Mode"."""

import asyncio
import contextlib
import uuid
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from attrs import define, field

from tests.support.fake_slack.grants import App
from tests.support.fake_slack.world import Json

MAX_CONNECTIONS = 10


@define(eq=False)
class Connection:
    app: App
    socket: web.WebSocketResponse
    # Slack tells of a refresh some seconds ahead, and sends nothing more over the connection.
    is_leaving: bool = False


@define(eq=False)
class Envelope:
    id: str
    kind: str
    payload: Json
    attempt: int = 0
    acknowledged: asyncio.Event = field(factory=asyncio.Event)


class Sockets:
    """All open connections. Slack's times: an answer within 3 s, else again at once, after 1 and after 5 minutes."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.acknowledge_s = 3.0
        self.retry_after_s: tuple[float, ...] = (0.0, 60.0, 300.0)
        self.acknowledged: list[str] = []
        self.unacknowledged: dict[str, Envelope] = {}
        self.lost: list[Json] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request, app: App) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        connection = Connection(app, socket)
        mine = self.of(app)
        if len(mine) >= MAX_CONNECTIONS:
            await self.disconnect(mine[0], "too_many_websockets")
        self.connections.append(connection)
        debug = {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 18060}
        hello = {"type": "hello", "num_connections": len(self.of(app)), "debug_info": debug}
        await socket.send_str(orjson.dumps({**hello, "connection_info": {"app_id": app.id}}).decode())
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._take(message.data)
        finally:
            with contextlib.suppress(ValueError):
                self.connections.remove(connection)
        return socket

    def of(self, app: App) -> list[Connection]:
        return [c for c in self.connections if c.app is app and not c.socket.closed and not c.is_leaving]

    def deliver(self, app: App, kind: str, payload: Json, *, double: bool = False) -> None:
        """Sends it, in the order of the calls; again until it is acknowledged or too often tried."""
        for _ in range(2 if double else 1):
            task = asyncio.get_running_loop().create_task(
                self._deliver(app, Envelope(str(uuid.uuid4()), kind, payload))
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, app: App, envelope: Envelope) -> None:
        self.unacknowledged[envelope.id] = envelope
        for pause in (None, *self.retry_after_s):
            if pause is not None:
                await asyncio.sleep(pause)
                envelope.attempt += 1
            if await self._attempt(app, envelope):
                del self.unacknowledged[envelope.id]
                return
        del self.unacknowledged[envelope.id]
        self.lost.append(envelope.payload)

    async def _attempt(self, app: App, envelope: Envelope) -> bool:
        connections = self.of(app)
        if not connections:
            return False
        message: dict[str, Any] = {"envelope_id": envelope.id, "payload": envelope.payload, "type": envelope.kind}
        message["accepts_response_payload"] = envelope.kind == "interactive"
        if envelope.kind == "events_api":
            message |= {"retry_attempt": envelope.attempt, "retry_reason": "timeout" if envelope.attempt else ""}
        try:
            await connections[-1].socket.send_str(orjson.dumps(message).decode())
            await asyncio.wait_for(envelope.acknowledged.wait(), self.acknowledge_s)
        except (ConnectionError, TimeoutError, RuntimeError):
            return False
        return True

    def _take(self, text: str) -> None:
        answer = orjson.loads(text)
        envelope = self.unacknowledged.get(answer.get("envelope_id"))
        if envelope is not None:
            self.acknowledged.append(envelope.id)
            envelope.acknowledged.set()

    async def disconnect(self, connection: Connection, reason: str) -> None:
        """As Slack does it: says so, and closes; `refresh_requested`, `warning`, `link_disabled`."""
        connection.is_leaving = True
        said = {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-fake"}}
        with contextlib.suppress(ConnectionError):
            await connection.socket.send_str(orjson.dumps(said).decode())
        if reason != "warning":
            await connection.socket.close()

    async def cut(self) -> None:
        """All connections at once, without a word."""
        for connection in list(self.connections):
            request = connection.socket._req
            if request is not None and request.transport is not None:
                request.transport.abort()
            with contextlib.suppress(ValueError):
                self.connections.remove(connection)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            await connection.socket.close()
