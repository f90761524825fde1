"""Small requests to one server, over connections that stay open: HTTP/1.1 by llhttp, every size bounded.

Nearly all that a bridge asks of its homeserver is some hundred bytes of JSON each way. Twisted's own client costs three
times what this one costs, which is more than all else that a bridge does for a message.

Source: RFC 9112.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

# An answer that is no file: state of a large room.
MAX_ANSWER_BYTES = 16 << 20
MAX_HEAD_BYTES = 65_536
MAX_IDLE = 32
_CONNECT_S = 10.0
_FORBIDDEN = ("\r", "\n", "\0")


class WireBroken(Exception):
    """No answer, or half of one."""


@frozen
class Answer:
    """`headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Stale(WireBroken):
    """The server closed the connection when nothing was under way: it has not read the request."""


class Connections:
    """To a server at an address, `timeout_s` for each request in all."""

    def __init__(self, *, address: str, reactor: IReactorTime, timeout_s: float) -> None:
        parts = urlsplit(address)
        self._host = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.rstrip("/")
        self._endpoint = _endpoint(reactor, parts.scheme == "https", parts.hostname or "", parts.port)
        self._reactor, self._timeout_s = reactor, timeout_s
        self._idle: list[_Connection] = []
        self._is_closed = False

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """May send it twice. Raises: WireBroken."""
        data = _encoded(method, self._prefix + path, {"Host": self._host, **headers}, body)
        running = Deferred.fromCoroutine(self._ask(data))
        timer = self._reactor.callLater(self._timeout_s, running.cancel)
        try:
            return await running
        except WireBroken:
            raise
        except Exception as error:
            # What connecting may fail with: of the resolver, of the system, of TLS.
            raise WireBroken(f"{type(error).__name__}: {error}"[:300]) from error
        finally:
            if timer.active():
                timer.cancel()

    def close(self) -> None:
        """The idle ones, and the others when they are."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abort()

    async def _ask(self, data: bytes) -> Answer:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(connection, data)
            except _Stale:
                continue
        return await self._on(await self._connect(), data)

    async def _on(self, connection: "_Connection", data: bytes) -> Answer:
        answer = await connection.ask(data)
        if connection.is_reusable and not self._is_closed and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    async def _connect(self) -> "_Connection":
        connection = await self._endpoint.connect(Factory.forProtocol(lambda: _Connection(self._forget)))
        return cast(_Connection, connection)

    def _forget(self, connection: "_Connection") -> None:
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(Protocol):
    """One request at a time."""

    transport: Any

    def __init__(self, on_lost: "Callable[[_Connection], None]") -> None:
        self.is_reusable = True
        self._on_lost = on_lost
        self._waiting: Deferred[Answer] | None = None
        self._parser: Any = None
        self._has_served = False
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_bytes = 0
        self._has_head = self._is_whole = False

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)

    def ask(self, data: bytes) -> "Deferred[Answer]":
        """Cancelled, the connection closes."""
        waiting = self._waiting = Deferred[Answer](lambda _: self.abort())
        self._parser = httptools.HttpResponseParser(self)
        self._begin()
        self.transport.write(data)
        return waiting

    def abort(self) -> None:
        self.is_reusable = False
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._waiting is None:
            # Nobody has asked: it would be taken for the answer to the next request.
            self.abort()
            return
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(WireBroken(f"the answer is no HTTP: {type(error).__name__}"))
            return
        if self._is_whole:
            # Only now: whoever wakes by it may send the next request, whose answer is not in these bytes.
            self._end()
        elif len(self._body) > MAX_ANSWER_BYTES or self._head_bytes > 2 * MAX_HEAD_BYTES:
            self._fail(WireBroken(f"the answer is larger than {MAX_ANSWER_BYTES} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_reusable = False
        self._on_lost(self)
        if self._waiting is None:
            return
        if self._has_head and not {"content-length", "transfer-encoding"} & set(self._headers):
            # Of a server that says by closing where the answer ends.
            self._end()
        elif self._has_served and not self._head_bytes:
            self._fail(_Stale("the connection was closed"))
        else:
            self._fail(WireBroken(f"the connection was lost: {reason.getErrorMessage()}"[:300]))

    # What llhttp tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_whole = True
            self.is_reusable = self.is_reusable and self._parser.should_keep_alive()
        else:
            self._headers = {}

    # The end of a request.

    def _end(self) -> None:
        answer = Answer(self._parser.get_status_code(), self._headers, bytes(self._body))
        waiting, self._waiting = self._waiting, None
        self._has_served = True
        if waiting is not None and not waiting.called:
            waiting.callback(answer)

    def _fail(self, error: WireBroken) -> None:
        waiting, self._waiting = self._waiting, None
        self.abort()
        if waiting is not None and not waiting.called:
            waiting.errback(error)


def _endpoint(reactor: Any, is_tls: bool, host: str, port: int | None) -> IStreamClientEndpoint:
    endpoint = HostnameEndpoint(reactor, host, port or (443 if is_tls else 80), timeout=_CONNECT_S)
    return wrapClientTLS(optionsForClientTLS(host), endpoint) if is_tls else endpoint


def _encoded(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    if body is not None or method not in ("GET", "DELETE"):
        headers = {**headers, "Content-Length": str(len(body or b""))}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(letter in line for line in lines for letter in _FORBIDDEN):
        raise WireBroken("a header with a line's end in it")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")
