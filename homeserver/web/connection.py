"""One HTTP/1.1 connection: llhttp underneath, the router above.

Theory of operation. `dataReceived` feeds the parser, whose callbacks only note what they see: handlers are never run
inside a callback. Each request becomes an `_Exchange`. Exchanges are answered one after another, in order; while one is
being answered that was received whole, further input is held back and the transport paused, so that a client cannot
queue more than what one read may bring (and of that no more than `max_pipelined`). An exchange is ready when its
body is whole, or with its headers if the route streams it. Whatever breaks the protocol becomes an exchange too, with
its refusal as the answer, after which the connection reads nothing more.

There is no timer for each request. A sweep (server.py) asks every connection now and then whether it is overdue.

Source: RFC 9112. llhttp runs without leniencies: conflicting lengths, bad chunk sizes, bare LF and folded headers are
refused by it, which leaves nothing to smuggle a request in.
"""

from collections import deque
from collections.abc import Awaitable
from email.utils import formatdate
from typing import Any

import httptools
from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.web.body import BodyStream, ClientGone
from homeserver.web.call import Call, Headers, Peer
from homeserver.web.outflow import PIECE_BYTES, OnThread, Outflow, pieces_of, release, write_stream
from homeserver.web.replies import Prepared, prepare_error
from homeserver.web.router import Body, Match, Router
from matrix.errors import BadRequest, LimitExceeded, MatrixError, TooLarge, Unrecognized


@frozen
class Limits:
    """What one connection may cost."""

    # Cookies of a shared domain and long tokens fit; nginx's default is 8 kB a line and 32 kB in all.
    head_bytes: int = 65536
    max_headers: int = 128
    # Filters and search terms travel in the query; browsers stop at some 32 kB, proxies at 8 kB.
    target_bytes: int = 16384
    max_pipelined: int = 32
    head_s: float = 20
    # Longer than the proxies in front of us keep a connection (nginx 60 s, Go 90 s, Caddy 120 s): who closes first
    # must be the proxy, else its next request meets a closed connection.
    idle_s: float = 125
    # A body may pause for so long at first, and must then keep the pace of a bad mobile line.
    body_grace_s: float = 30
    body_bytes_per_s: float = 500
    # A piece of an answer (PIECE_BYTES) must be taken in this time.
    write_stall_s: float = 60
    # How long to go on reading, and dropping, after a refusal: closing at once would reset the connection and could
    # destroy the answer on its way. Source: RFC 9112, 9.6.
    linger_s: float = 10


@define(eq=False)
class Shared:
    """What the connections of a listener have in common."""

    router: Router
    reactor: IReactorTime
    on_thread: OnThread
    limits: Limits = field(factory=Limits)
    proxies: int = 0
    is_draining: bool = False
    connections: "set[Connection]" = Factory(set)
    _date_s: int = -1
    _date: bytes = b""

    def date(self, now: float) -> bytes:
        """The Date header line, made once a second."""
        if int(now) != self._date_s:
            self._date_s = int(now)
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._date


class _Exchange:
    """One request and its answer."""

    __slots__ = (
        "body", "call", "is_answered", "is_http_10", "is_ready", "is_started", "is_whole", "keep_alive", "match",
        "received_bytes", "refusal", "running", "stream", "wants_continue",
    )  # fmt: skip

    def __init__(self, call: Call | None, match: Match | None, *, keep_alive: bool, is_http_10: bool) -> None:
        self.call = call
        self.match = match
        self.keep_alive = keep_alive
        self.is_http_10 = is_http_10
        self.body: bytes | bytearray = b""
        self.received_bytes = 0
        self.stream: BodyStream | None = None
        self.refusal: MatrixError | None = None
        self.running: Deferred[None] | None = None
        self.wants_continue = False
        self.is_ready = False
        self.is_started = False
        self.is_whole = False
        self.is_answered = False

    @property
    def is_reading_method(self) -> bool:
        return self.call is not None and self.call.method in ("GET", "HEAD")


class _Refused(Exception):
    """Raised out of a parser callback to stop the parser; the reason is with the connection."""


class Connection(Protocol):
    """The server's end of one connection."""

    _log = Logger()
    transport: Any

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._parser = httptools.HttpRequestParser(self)
        self._peer = Peer("")
        # The request being parsed.
        self._in_head = False
        self._target = b""
        self._headers: dict[bytes, list[bytes]] = {}
        self._head_bytes = 0
        self._header_count = 0
        self._began_s = 0.0
        self._incoming: _Exchange | None = None
        self._overhead_bytes = 0
        self._refusal: MatrixError | None = None
        # The requests being answered.
        self._current: _Exchange | None = None
        self._queue: deque[_Exchange] = deque()
        self._is_advancing = False
        self._outflow: Outflow | None = None
        self._written_pieces = 0
        # Input and time.
        self._held = b""
        self._is_reading = True
        self._is_deaf = False
        self._is_closing = False
        self._since_s = 0.0

    # -- the transport

    def connectionMade(self) -> None:
        host = getattr(self.transport.getPeer(), "host", "127.0.0.1")  # a unix socket has no host
        is_secure = ISSLTransport.providedBy(self.transport)
        self._peer = Peer(host.removeprefix("::ffff:"), is_secure, self._shared.proxies)
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self._since_s = self._shared.reactor.seconds()
        self._shared.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._held or self._queue or (self._current is not None and self._current.is_whole):
            self._held += data
            self._adjust_reading()
            return
        self._feed(data)
        self._advance()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._shared.connections.discard(self)
        self._is_deaf = self._is_closing = True
        self._held = b""
        self._queue.clear()
        exchange = self._current
        if exchange is None or exchange.call is None:
            return
        exchange.call.gone = True
        if exchange.stream is not None:
            exchange.stream.fail(ClientGone())
        # What writes goes on to its end: half a write must not depend on the client's line.
        if exchange.running is not None and exchange.is_reading_method:
            exchange.running.cancel()

    # -- parsing

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Upgrades are declined by an ordinary answer and a close: what follows is in no protocol of ours.
            self._is_deaf = True
        except httptools.HttpParserInvalidMethodError:
            self._refuse(Unrecognized(405))
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("Malformed HTTP request", "M_UNKNOWN"))
        else:
            self._bound_overhead(len(data))

    def _bound_overhead(self, fed_bytes: int) -> None:
        """Bounds what llhttp takes in without telling us: an unfinished header, chunk extensions, trailers."""
        if self._in_head:
            self._overhead_bytes += fed_bytes
            if self._overhead_bytes > 2 * self._limits.head_bytes:
                self._refuse(MatrixError(431, "M_TOO_LARGE", "The headers are too large"))
        elif self._incoming is not None:
            self._overhead_bytes += fed_bytes
            # A chunk of one byte travels as six.
            if self._overhead_bytes > 8 * self._incoming.received_bytes + 2 * self._limits.head_bytes:
                self._refuse(BadRequest("Malformed HTTP body", "M_UNKNOWN"))
        else:
            self._overhead_bytes = 0

    def _reject(self, error: MatrixError) -> None:
        self._refusal = error
        raise _Refused

    def on_message_begin(self) -> None:
        self._in_head = True
        self._target = b""
        self._headers = {}
        self._head_bytes = self._header_count = self._overhead_bytes = 0
        self._began_s = self._shared.reactor.seconds()

    def on_url(self, part: bytes) -> None:
        self._target = self._target + part if self._target else part
        if len(self._target) > self._limits.target_bytes:
            self._reject(MatrixError(414, "M_TOO_LARGE", "The URL is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: of no use to us
        self._head_bytes += len(name) + len(value)
        self._header_count += 1
        if self._head_bytes > self._limits.head_bytes or self._header_count > self._limits.max_headers:
            self._reject(MatrixError(431, "M_TOO_LARGE", "The headers are too large"))
        name = name.lower()
        values = self._headers.get(name)
        if values is None:
            self._headers[name] = [value]
        else:
            values.append(value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self._queue) >= self._limits.max_pipelined:
            self._reject(LimitExceeded(1000, "Too many pipelined requests"))
        parser, headers = self._parser, self._headers
        is_http_10 = self._check_head(parser.get_http_version())
        method = parser.get_method().decode()
        target = _origin_form(self._target)
        if target is None:
            self._reject(BadRequest("Malformed request target", "M_UNKNOWN"))
            return
        call = Call(method, target, Headers(headers), self._peer, int(self._began_s * 1000))
        match = self._shared.router.find(method, target.partition(b"?")[0])
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        exchange = _Exchange(call, match, keep_alive=keep_alive, is_http_10=is_http_10)
        self._incoming = exchange
        if b"expect" in headers and not is_http_10:
            exchange.wants_continue = headers[b"expect"][0].lower() == b"100-continue"
        self._queue.append(exchange)
        self._prepare_body(exchange, match)

    def _check_head(self, version: str) -> bool:
        """Whether it is HTTP/1.0. Rejects what RFC 9112 tells to reject and llhttp does not look at."""
        headers = self._headers
        if version not in ("1.1", "1.0"):
            self._reject(MatrixError(505, "M_UNKNOWN", "HTTP version not supported"))
        hosts = headers.get(b"host", ())
        if len(hosts) > 1 or (version == "1.1" and not hosts):
            self._reject(BadRequest("There must be one Host header", "M_UNKNOWN"))
        if b"transfer-encoding" in headers and (version == "1.0" or b"content-length" in headers):
            self._reject(BadRequest("Ambiguous body length", "M_UNKNOWN"))
        if self._parser.should_upgrade() and (
            b"transfer-encoding" in headers or headers.get(b"content-length", [b"0"]) != [b"0"]
        ):
            # llhttp takes the body of an upgrade for the next protocol; we would take it for the next request.
            self._reject(MatrixError(501, "M_UNRECOGNIZED", "Upgrades with a body are not supported"))
        return version == "1.0"

    def _prepare_body(self, exchange: _Exchange, match: Match) -> None:
        limit = match.route.max_body_bytes
        announced = self._headers.get(b"content-length")
        if announced is not None and int(announced[0]) > limit:
            self._reject(TooLarge(f"The body is larger than {limit} bytes"))
        if match.route.body is Body.STREAM:
            assert exchange.call is not None
            exchange.stream = BodyStream(
                limit, on_first_read=lambda: self._send_continue(exchange), on_flow=self._adjust_reading
            )
            exchange.call.stream = exchange.stream
            exchange.is_ready = True

    def on_body(self, chunk: bytes) -> None:
        exchange = self._incoming
        if exchange is None:
            return
        exchange.received_bytes += len(chunk)
        if exchange.stream is not None:
            exchange.stream.feed(chunk)
        elif exchange.match is not None and exchange.received_bytes > exchange.match.route.max_body_bytes:
            self._reject(TooLarge(f"The body is larger than {exchange.match.route.max_body_bytes} bytes"))
        elif not exchange.body:
            exchange.body = chunk
        else:
            # One growing buffer: a list of tiny chunks would weigh fifty times their bytes.
            if isinstance(exchange.body, bytes):
                exchange.body = bytearray(exchange.body)
            exchange.body += chunk

    def on_message_complete(self) -> None:
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            return
        exchange.is_whole = exchange.is_ready = True
        if exchange.stream is not None:
            exchange.stream.finish()
        elif exchange.call is not None:
            exchange.call.take_body(exchange.body)

    def _refuse(self, error: MatrixError) -> None:
        """Answers with the error when its turn comes, and reads nothing more."""
        self._is_deaf = True
        self._in_head = False
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            exchange = _Exchange(None, None, keep_alive=False, is_http_10=False)
            self._queue.append(exchange)
        elif exchange.stream is not None:
            exchange.stream.fail(error)
        exchange.keep_alive = False
        exchange.refusal = error
        exchange.is_ready = True

    # -- answering

    def _advance(self) -> None:
        """Starts what can be started. Not re-entered by exchanges that end at once."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._step():
                pass
        finally:
            self._is_advancing = False
        self._adjust_reading()

    def _step(self) -> bool:
        exchange = self._current
        if exchange is None:
            if self._queue:
                self._current = self._queue.popleft()
                return True
            return self._feed_held()
        if not exchange.is_whole and self._feed_held():
            return True
        if exchange.is_started:
            return False
        if not exchange.is_ready:
            self._send_continue(exchange)
            return False
        exchange.is_started = True
        self._start(exchange)
        return True

    def _feed_held(self) -> bool:
        data, self._held = self._held, b""
        if data and not self._is_deaf:
            self._feed(data)
            return True
        return False

    def _start(self, exchange: _Exchange) -> None:
        call, match = exchange.call, exchange.match
        if call is None or match is None or (exchange.refusal is not None and exchange.stream is None):
            assert exchange.refusal is not None
            self._send(prepare_error(exchange.refusal))
            self._end(None, exchange)
            return
        running = exchange.running = self._shared.router.start(call, match, self._send)
        running.addBoth(self._end, exchange)

    def _send_continue(self, exchange: _Exchange) -> None:
        if exchange.wants_continue and not exchange.is_whole and exchange is self._current:
            exchange.wants_continue = False
            self._since_s = self._shared.reactor.seconds()
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send(self, prepared: Prepared) -> Awaitable[None] | None:
        """Writes the answer of the current exchange; gives what to wait for unless one write did it."""
        exchange = self._current
        stream = prepared.stream
        if self._is_closing or exchange is None:
            return None if stream is None else release(stream)
        if not exchange.is_whole or self._shared.is_draining:
            exchange.keep_alive = False
        head = self._head(exchange, prepared)
        is_head = exchange.call is not None and exchange.call.method == "HEAD"
        if stream is None and (is_head or prepared.length is None or prepared.length <= PIECE_BYTES):
            self.transport.write(head if is_head or not prepared.length else b"".join((head, *prepared.parts)))
            exchange.is_answered = True
            return None
        return self._write_out(exchange, head, prepared, only_head=is_head)

    def _head(self, exchange: _Exchange, prepared: Prepared) -> bytes:
        lines = [prepared.head, self._shared.date(self._shared.reactor.seconds())]
        if prepared.length is not None:
            if prepared.has_body:
                lines.append(b"Content-Length: %d\r\n" % prepared.length)
        elif exchange.is_http_10:
            exchange.keep_alive = False  # the end of the connection is the end of the body
        else:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        if not exchange.keep_alive:
            lines.append(b"Connection: close\r\n")
        elif exchange.is_http_10:
            lines.append(b"Connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    async def _write_out(self, exchange: _Exchange, head: bytes, prepared: Prepared, *, only_head: bool) -> None:
        """Writes a large or streamed answer at the client's pace."""
        stream = prepared.stream
        outflow = self._outflow = Outflow(self.transport)
        try:
            await outflow.write(head)
            if stream is None:
                for piece in pieces_of(prepared.parts):
                    await outflow.write(piece)
            elif not only_head:
                await write_stream(
                    outflow, stream, prepared.length, self._shared.on_thread, chunked=not exchange.is_http_10
                )
            exchange.is_answered = True
        finally:
            self._outflow = None
            outflow.close()
            if stream is not None:
                await release(stream)

    def _end(self, result: Failure | None, exchange: _Exchange) -> None:
        """The exchange is over: the next one, or the end of the connection."""
        if isinstance(result, Failure):
            self._log.failure("a request's coroutine failed", result)
        self._current = None
        self._since_s = self._shared.reactor.seconds()
        if self._is_closing:
            return
        if not exchange.is_answered:
            self._is_closing = self._is_deaf = True
            self.transport.abortConnection()
        elif not exchange.keep_alive:
            self._close(has_unread=not exchange.is_whole)
        else:
            self._advance()

    # -- closing, flow and time

    def _close(self, *, has_unread: bool) -> None:
        """Closes after what is written has gone out; the sweep ends what does not go out."""
        self._is_closing = self._is_deaf = True
        self._queue.clear()
        self._held = b""
        self._adjust_reading()
        if not has_unread:
            self.transport.loseConnection()

    def drain(self) -> None:
        """Closes once what is running is answered."""
        if self._current is None and not self._queue and not self._is_closing:
            self._close(has_unread=False)

    def abort(self) -> None:
        self.transport.abortConnection()

    def _adjust_reading(self) -> None:
        """Reads, unless input is held back or the stream's reader is behind. Reading is how we learn of a close."""
        stream = self._incoming.stream if self._incoming is not None else None
        wants = not self._held and (stream is None or not stream.is_full)
        if wants != self._is_reading:
            self._is_reading = wants
            if not wants:
                self.transport.pauseProducing()
            else:
                self._since_s = self._shared.reactor.seconds()
                self.transport.resumeProducing()

    def check_time(self, now: float) -> None:
        """Ends what is overdue. Called by the sweep."""
        limits, incoming = self._limits, self._incoming
        if self._is_closing:
            if now > self._since_s + limits.linger_s:
                self.transport.abortConnection()
        elif self._outflow is not None:
            self._check_outflow(self._outflow, now)
        elif incoming is not None and incoming is self._current and self._is_reading:
            allowed_s = limits.body_grace_s + incoming.received_bytes / limits.body_bytes_per_s
            if now > max(self._began_s, self._since_s) + allowed_s:
                self._time_out()
        elif self._current is None and self._in_head:
            if now > self._began_s + limits.head_s:
                self._time_out()
        elif self._current is None and now > self._since_s + limits.idle_s:
            self.transport.abortConnection()

    def _check_outflow(self, outflow: Outflow, now: float) -> None:
        if not outflow.is_stuck or outflow.pieces != self._written_pieces:
            self._written_pieces = outflow.pieces
            self._since_s = now
        elif now > self._since_s + self._limits.write_stall_s:
            self.transport.abortConnection()

    def _time_out(self) -> None:
        self._refuse(MatrixError(408, "M_UNKNOWN", "The request took too long to arrive"))
        self._advance()


def _origin_form(target: bytes) -> bytes | None:
    """The path and query of a request target; None for one that is neither origin-form nor absolute-form.

    Source: RFC 9112, 3.2: a server must take the absolute form too.
    """
    if target[:1] == b"/":
        return target
    if target == b"*":
        return b"/*"
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            return b"/" + target[len(scheme) :].partition(b"/")[2]
    return None
