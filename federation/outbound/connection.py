"""One connection to another server: HTTP/1.1 by llhttp, one request at a time, every size bounded.

Twisted's own client reads headers without end; this one does not.

Source: RFC 9112.
"""

from collections.abc import Callable, Mapping
from typing import Any

import httptools
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from federation.outbound.errors import BadAnswer, RemoteError, Unreachable
from federation.outbound.wire import WireRequest
from homeserver.web.body import BodyStream

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 128
# Of answers 1xx before the real one.
MAX_INTERIM = 8
_FORBIDDEN = ("\r", "\n", "\0")


class Answering:
    """The answer to a request as it comes: a `WireStream`."""

    def __init__(self, connection: "ClientConnection", request: WireRequest) -> None:
        self._connection = connection
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_whole = False
        self.max_bytes = request.max_bytes
        self.body = BodyStream(request.max_bytes, on_first_read=lambda: None, on_flow=connection.flow)
        self.received_bytes = 0

    def __aiter__(self) -> "Answering":
        return self

    async def __anext__(self) -> bytes:
        return await self.body.__anext__()

    def close(self) -> None:
        """Whoever has not read it all has no use for the connection either."""
        if not self.is_whole:
            self._connection.abort()


class ClientConnection(Protocol):
    """A connection to a server. `is_free` while no request is under way; `is_reusable` until it closes.

    `tls_fault` may know better than OpenSSL's error why the connection ended.
    """

    transport: Any

    def __init__(
        self, on_free: "Callable[[ClientConnection], None]", tls_fault: Callable[[], str | None] = lambda: None
    ) -> None:
        self.is_open = False
        self.is_reusable = True
        self.served = 0
        self._on_free = on_free
        self._tls_fault = tls_fault
        self._answering: Answering | None = None
        self._head: Deferred[Answering] | None = None
        self._request: WireRequest | None = None
        self._parser: Any = None
        self._is_complete = False
        self._head_bytes = self._header_count = self._interim = 0

    @property
    def is_free(self) -> bool:
        return self._answering is None

    def connectionMade(self) -> None:
        self.is_open = True
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def ask(self, request: WireRequest, host: str) -> "Deferred[Answering]":
        """Sends the request; the answer comes with its headers. Cancelled, the connection closes."""
        assert self.is_free, "one request at a time"
        self._request, self._answering = request, Answering(self, request)
        self._head_bytes = self._header_count = self._interim = 0
        self._is_complete = False
        self._head = Deferred(lambda _: self.abort())
        self._parser = httptools.HttpResponseParser(self)
        head = self._head
        self.transport.write(_encode(request, host))
        return head

    def abort(self) -> None:
        self.is_reusable = False
        if self.transport is not None:
            self.transport.abortConnection()

    def flow(self) -> None:
        """The reader of the body has fallen behind, or caught up."""
        answering = self._answering
        if answering is None or not self.is_open:
            return
        if answering.body.is_full:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        if self._answering is None:
            # Nobody has asked: what comes now would be taken for the answer to the next request.
            self.abort()
            return
        if not self._answering.status:
            self._head_bytes += len(data)
        fault = self._feed(data)
        if self._is_complete:
            # Only now: whoever wakes by it may send the next request, whose answer is not in these bytes.
            self.is_reusable = self.is_reusable and fault is None
            self._finish()
        elif fault is not None:
            self._fail(fault)

    def _feed(self, data: bytes) -> RemoteError | None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return BadAnswer(self._name, "it wants to speak another protocol")
        except httptools.HttpParserCallbackError as error:
            return _cause(error) or BadAnswer(self._name, "its answer will not do")
        except httptools.HttpParserError:
            return BadAnswer(self._name, "its answer is no HTTP")
        answering = self._answering
        if answering is not None and not answering.status and self._head_bytes > 2 * MAX_HEAD_BYTES:
            return BadAnswer(self._name, "the head of its answer is too large")
        return None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = self.is_reusable = False
        answering = self._answering
        if answering is not None:
            ends_with_connection = answering.status and not {"content-length", "transfer-encoding"} & set(
                answering.headers
            )
            if ends_with_connection and isinstance(reason.value, ConnectionDone):
                self._finish()
            else:
                self._fail(Unreachable(self._name, self._tls_fault() or _words(reason)))
        self._on_free(self)

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise BadAnswer(self._name, "it answers more than it was asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        answering = self._answering
        assert answering is not None
        self._header_count += 1
        self._head_bytes += len(name) + len(value)
        if self._header_count > MAX_HEADERS or self._head_bytes > 2 * MAX_HEAD_BYTES:
            raise BadAnswer(self._name, "the head of its answer is too large")
        answering.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        answering = self._answering
        assert answering is not None
        status = self._parser.get_status_code()
        if status < 200:
            return
        answering.status = status
        head, self._head = self._head, None
        if head is not None:
            head.callback(answering)

    def on_body(self, chunk: bytes) -> None:
        answering = self._answering
        if answering is not None:
            answering.received_bytes += len(chunk)
            if answering.received_bytes > answering.max_bytes:
                raise BadAnswer(self._name, "its answer is too large")
            answering.body.feed(chunk)

    def on_message_complete(self) -> None:
        answering = self._answering
        if answering is None:
            return
        if not answering.status:
            # 1xx: the real answer follows.
            self._interim += 1
            answering.headers.clear()
            if self._interim > MAX_INTERIM:
                raise BadAnswer(self._name, "it does not come to the point")
            return
        self.is_reusable = self.is_reusable and bool(self._parser.should_keep_alive())
        self._is_complete = True

    @property
    def _name(self) -> str:
        return "" if self._request is None else self._request.destination

    def _finish(self) -> None:
        """The answer is whole."""
        answering, self._answering = self._answering, None
        assert answering is not None
        self.served += 1
        answering.is_whole = True
        if self.is_open:
            if answering.body.is_full:
                self.transport.resumeProducing()
            if not self.is_reusable:
                self.transport.loseConnection()
            # Before the reader wakes: its next request is to find the connection free.
            self._on_free(self)
        answering.body.finish()

    def _fail(self, error: RemoteError) -> None:
        answering, self._answering = self._answering, None
        head, self._head = self._head, None
        if answering is not None:
            answering.is_whole = True
            answering.body.fail(error)
        if head is not None and not head.called:
            head.errback(error)
        self.abort()


def _encode(request: WireRequest, host: str) -> bytes:
    """The request as bytes. Raises: ValueError, where a header would end its line and begin another."""
    headers: Mapping[str, str] = {"Host": host, "User-Agent": "Hearth", **request.headers}
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if request.body is not None or request.method in ("PUT", "POST"):
        lines.append(f"Content-Length: {len(request.body or b'')}")
    if any(bad in line for line in lines for bad in _FORBIDDEN):
        raise ValueError("a control character in the head of a request")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (request.body or b"")


def _cause(error: BaseException) -> RemoteError | None:
    """What a callback raised, which the parser wraps."""
    cause = error.__context__
    return cause if isinstance(cause, RemoteError) else None


def _words(reason: Failure) -> str:
    """Why a connection ended, for the log: OpenSSL's errors are lists of tuples, one of which says it."""
    value = reason.value
    errors = value.args[0] if value is not None and value.args and isinstance(value.args[0], list) else None
    if errors:
        return f"TLS: {errors[-1][-1]}"
    text = reason.getErrorMessage().strip()
    return f"the connection broke off: {text or type(value).__name__}"[:300]
