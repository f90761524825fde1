"""An HTTP client for tests that drives the real server protocol in memory: no port, no sleep.

    client = MemoryClient(router)
    response = await client.request("PUT", "/_matrix/...", json={...}, token="...")

Each request has a connection of its own. Everything is synchronous but what the handlers wait for (a database's
threads), therefore `request` gives a Deferred; `response_of(client.request(...))` is for handlers that do not wait.
"""

from collections.abc import Mapping
from typing import Any

import httptools
import orjson
from attrs import field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from homeserver.web.connection import Connection
from homeserver.web.exchange import Limits
from homeserver.web.router import Router
from homeserver.web.server import HttpServer


@frozen
class Response:
    """What the server answered. `headers` are by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=lambda body: repr(body[:200]))

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def errcode(self) -> str | None:
        value = self.json
        return value.get("errcode") if isinstance(value, dict) else None


class MemoryTransport(StringTransport):
    """The client's end of a connection: what the server writes is parsed as it comes."""

    def __init__(self, client_ip: str) -> None:
        super().__init__()
        self.peer_host = client_ip
        self.responses: list[Response] = []
        self.interim: list[int] = []
        self.is_closed = False
        self.is_head = False
        # A client that does not read: the buffer counts as full from the first write on.
        self.takes_nothing = False
        self.protocol: Connection
        self._waiting: list[Deferred[Response]] = []
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)

    def getPeer(self) -> Any:
        return type("Peer", (), {"host": self.peer_host})()

    def next_response(self) -> "Deferred[Response]":
        """The next answer that nobody has waited for; a failure when the connection closes without one."""
        waiting: Deferred[Response] = Deferred()
        self._waiting.append(waiting)
        self._hand_over()
        return waiting

    def write(self, data: bytes) -> None:
        super().write(data)
        self._parser.feed_data(data)
        if self.takes_nothing and self.producer is not None:
            self.producer.pauseProducing()
        # A HEAD's answer ends with its headers, which the parser cannot know.
        if self.is_head and b"\r\n\r\n" in data:
            self.on_message_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.interim.append(status)
        else:
            self.responses.append(Response(status, self._headers, bytes(self._body)))
        self._headers, self._body = {}, bytearray()
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self.responses:
            self._waiting.pop(0).callback(self.responses.pop(0))
        if self.is_closed:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.errback(ConnectionDone("the server closed the connection without an answer"))

    def loseConnection(self) -> None:
        self._close(ConnectionDone())

    def abortConnection(self) -> None:
        self._close(ConnectionAborted())

    def disconnect(self) -> None:
        """The client goes away."""
        self._close(ConnectionDone())

    def _close(self, reason: Exception) -> None:
        if self.is_closed:
            return
        self.is_closed = self.disconnecting = True
        if self.producer is not None:
            self.producer.stopProducing()
        self.protocol.connectionLost(Failure(reason))
        if not self.is_head and self._headers and "content-length" not in self._headers:
            self.on_message_complete()  # a body that ends with the connection
        self._hand_over()


class MemoryClient:
    """Asks a router's routes through a server in memory. `token` and `client_ip` are for all its requests."""

    def __init__(
        self,
        router: Router,
        *,
        reactor: IReactorTime | None = None,
        token: str | None = None,
        client_ip: str = "127.0.0.1",
        proxies: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.clock: Any = reactor if reactor is not None else Clock()
        self.token = token
        self.client_ip = client_ip
        self.server = HttpServer(
            router=router, reactor=self.clock, limits=limits, proxies=proxies, on_thread=maybeDeferred
        )

    def connect(self) -> MemoryTransport:
        """A bare connection: write bytes to `.protocol.dataReceived`."""
        transport = MemoryTransport(self.client_ip)
        transport.protocol = self.server.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def open(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> MemoryTransport:
        """Sends a request; the connection is for `next_response()`, or for `disconnect()` by a client that leaves."""
        transport = self.connect()
        transport.is_head = method == "HEAD"
        payload = orjson.dumps(json, option=orjson.OPT_NON_STR_KEYS) if json is not None else body
        transport.protocol.dataReceived(self._encode(method, path, payload, token or self.token, headers or {}))
        return transport

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Deferred[Response]":
        """The answer to a request. `path` is as it goes over the wire: percent-encoded."""
        return self.open(method, path, json=json, body=body, token=token, headers=headers).next_response()

    @staticmethod
    def _encode(method: str, path: str, payload: bytes | None, token: str | None, headers: Mapping[str, str]) -> bytes:
        lines = {"Host": "hearth.test", **headers}
        if token is not None:
            lines.setdefault("Authorization", f"Bearer {token}")
        if payload is not None:
            lines.setdefault("Content-Length", str(len(payload)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (payload or b"")


def response_of(answer: "Deferred[Response]") -> Response:
    """The answer of a handler that did not wait for anything."""
    results: list[Any] = []
    answer.addBoth(results.append)
    assert results, "the handler has not answered yet"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    response = results[0]
    assert isinstance(response, Response)
    return response
