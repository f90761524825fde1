"""One HTTP/1.1 connection: the reader underneath, the router above.

Theory of operation. The reader turns bytes into exchanges, which are answered one after another, in order. While one is
being answered that was received whole, further input is held back and the transport paused, so that a client cannot
queue more than what one read may bring (and of that no more than `Limits.max_pipelined`). An exchange is ready when its
body is whole, or with its headers if the route streams it. What breaks the protocol becomes an exchange too, with
its refusal as the answer, after which the connection reads nothing more.

There is no timer for each request. A sweep (server.py) asks every connection now and then whether it is overdue.

Source: RFC 9112.
"""

from collections import deque
from collections.abc import Awaitable
from email.utils import formatdate
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection as TcpConnection
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.web.body import ClientGone
from homeserver.web.call import Peer
from homeserver.web.exchange import Exchange, Limits
from homeserver.web.outflow import PIECE_BYTES, OnThread, Outflow, is_drained, pieces_of, release, write_stream
from homeserver.web.replies import BODILESS, Prepared, prepare_error
from homeserver.web.request_reader import RequestReader
from homeserver.web.router import Router
from matrix.errors import MatrixError

# A streamed body's reads. In Twisted's 64 kB an upload costs a sixth more.
STREAM_READ_BYTES = 256 * 1024


@define(eq=False)
class Shared:
    """What the connections of a listener have in common."""

    router: Router
    reactor: IReactorTime
    on_thread: OnThread
    limits: Limits
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


class Connection(Protocol):
    """The server's end of one connection."""

    _log = Logger()
    transport: Any

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._seconds = shared.reactor.seconds
        self._reader: RequestReader
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._is_advancing = False
        # Input that waits for the current exchange.
        self._held = b""
        self._is_reading = True
        self._is_socket = False
        self._outflow: Outflow | None = None
        self._written_pieces = 0
        self._is_closing = False
        # When the last thing happened that its time limit counts from.
        self._since_s = 0.0

    def connectionMade(self) -> None:
        host = getattr(self.transport.getPeer(), "host", "127.0.0.1")  # a unix socket has no host
        peer = Peer(host.removeprefix("::ffff:"), ISSLTransport.providedBy(self.transport), self._shared.proxies)
        self._reader = RequestReader(self._shared.router, self._shared.limits, peer, self._queue, self._seconds)
        self._reader.watch_streams(self._begin_stream, self._adjust_reading)
        # By type, not by attribute: a TLS transport has all attributes of the socket under it, which sends in clear.
        self._is_socket = isinstance(self.transport, TcpConnection)
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self._since_s = self._seconds()
        self._shared.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._reader.is_deaf or self._is_closing:
            return
        if self._held or self._queue or (self._current is not None and self._current.is_whole):
            self._held += data
            self._adjust_reading()
            return
        self._reader.feed(data)
        self._advance()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._shared.connections.discard(self)
        self._reader.close()
        self._is_closing = True
        self._held = b""
        self._queue.clear()
        exchange = self._current
        if exchange is None or exchange.call is None:
            return
        exchange.call.gone = True
        if exchange.stream is not None:
            exchange.stream.fail(ClientGone())
        # What writes goes on to its end: half a write must not depend on the client's line.
        if exchange.running is not None and exchange.call.method in ("GET", "HEAD"):
            exchange.running.cancel()

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
        """Did anything move?"""
        if self._current is None:
            if not self._queue:
                return self._feed_held()
            self._current = self._queue.popleft()
        exchange = self._current
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
        if not data or self._reader.is_deaf:
            return False
        self._reader.feed(data)
        return True

    def _start(self, exchange: Exchange) -> None:
        call, match = exchange.call, exchange.match
        if exchange.refusal is not None and exchange.stream is None:
            self._send(prepare_error(exchange.refusal))
            self._end(None, exchange)
            return
        assert call is not None and match is not None, "an exchange without a call has its refusal"
        running = exchange.running = self._shared.router.start(call, match, self._send)
        running.addBoth(self._end, exchange)

    def _end(self, result: Failure | None, exchange: Exchange) -> None:
        """The exchange is over: the next one, or the end of the connection."""
        if isinstance(result, Failure):
            self._log.failure("a request's coroutine failed", result)
        self._current = None
        if self._is_closing:
            return
        if exchange.stream is not None:
            self.transport.bufferSize = TcpConnection.bufferSize
        if not exchange.is_answered:
            self._is_closing = True
            self.transport.abortConnection()
        elif not exchange.keep_alive:
            self._close(has_unread=not exchange.is_whole)
        else:
            self._advance()

    # -- writing

    def _send(self, prepared: Prepared) -> Awaitable[None] | None:
        """Writes the answer of the current exchange; gives what to wait for unless one write did it."""
        exchange, stream = self._current, prepared.stream
        if self._is_closing or exchange is None:
            return None if stream is None else release(stream)
        self._since_s = self._seconds()
        head = self._head(exchange, prepared)
        if stream is not None or (prepared.length or 0) > PIECE_BYTES:
            return self._write_out(exchange, head, prepared)
        self._write(head if exchange.is_head else b"".join((head, *prepared.parts)))
        exchange.is_answered = True
        return None

    def _head(self, exchange: Exchange, prepared: Prepared) -> bytes:
        if not exchange.is_whole or self._shared.is_draining:
            exchange.keep_alive = False
        head = prepared.head + self._shared.date(self._since_s)
        if prepared.length is not None:
            if prepared.status not in BODILESS:
                head += b"Content-Length: %d\r\n" % prepared.length
        elif exchange.is_http_10:
            exchange.keep_alive = False  # the end of the connection is the end of the body
        else:
            head += b"Transfer-Encoding: chunked\r\n"
        if not exchange.keep_alive:
            return head + b"Connection: close\r\n\r\n"
        return head + (b"Connection: keep-alive\r\n\r\n" if exchange.is_http_10 else b"\r\n")

    def _write(self, data: bytes) -> None:
        """Writes straight to the socket while it takes all: a fifth of a small request's cost is in waiting for the
        reactor to find the socket writable."""
        if self._is_socket and is_drained(self.transport):
            sent = self.transport.writeSomeData(data)
            if sent == len(data):
                return
            data = data[sent:] if isinstance(sent, int) else data
        self.transport.write(data)

    async def _write_out(self, exchange: Exchange, head: bytes, prepared: Prepared) -> None:
        """Writes a large or streamed answer at the client's pace."""
        stream = prepared.stream
        outflow = self._outflow = Outflow(self.transport, is_direct=self._is_socket and is_drained(self.transport))
        try:
            await outflow.write(head)
            if exchange.is_head:
                pass
            elif stream is None:
                for piece in pieces_of(prepared.parts):
                    await outflow.write(piece)
            else:
                chunked = not exchange.is_http_10
                await write_stream(outflow, stream, prepared.length, self._shared.on_thread, chunked=chunked)
            exchange.is_answered = True
        finally:
            self._outflow = None
            self._since_s = self._seconds()
            outflow.close()
            if stream is not None:
                await release(stream)

    def _begin_stream(self, exchange: Exchange) -> None:
        """The handler begins to read the body: in larger pieces than other requests come in."""
        self.transport.bufferSize = STREAM_READ_BYTES
        self._send_continue(exchange)

    def _send_continue(self, exchange: Exchange) -> None:
        """Lets the client send its body. Source: RFC 9110, 10.1.1."""
        if exchange.wants_continue and not exchange.is_whole and exchange is self._current:
            exchange.wants_continue = False
            self._since_s = self._seconds()
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # -- closing, flow and time

    def _close(self, *, has_unread: bool) -> None:
        """Closes after what is written has gone out; the sweep ends what does not go out."""
        self._is_closing = True
        self._queue.clear()
        self._held = b""
        if not has_unread:
            self.transport.loseConnection()
        elif not self._is_reading:
            self.transport.resumeProducing()

    def drain(self) -> None:
        """Closes now if nothing is being asked; else the next answer does it."""
        if self._current is None and not self._queue and not self._is_closing:
            self._close(has_unread=False)

    def abort(self) -> None:
        self.transport.abortConnection()

    def _adjust_reading(self) -> None:
        """Reads, unless input is held back or the stream's reader is behind. Reading is how we learn of a close."""
        if self._is_closing:
            return
        incoming = self._reader.incoming
        is_behind = incoming is not None and incoming.stream is not None and incoming.stream.is_full
        wants = not self._held and not is_behind
        if wants != self._is_reading:
            self._is_reading = wants
            if wants:
                self._since_s = self._seconds()
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def check_time(self, now: float) -> None:
        """Ends what is overdue. Called by the sweep."""
        limits, incoming = self._shared.limits, self._reader.incoming
        if self._is_closing:
            if now > self._since_s + limits.linger_s:
                self.transport.abortConnection()
        elif self._outflow is not None:
            self._check_outflow(self._outflow, now)
        elif incoming is not None and incoming is self._current:
            self._check_body(incoming, now)
        elif self._current is None and self._reader.in_head:
            if now > self._reader.began_s + limits.head_s:
                self._time_out()
        elif self._current is None and now > self._since_s + limits.idle_s:
            self.transport.abortConnection()

    def _check_outflow(self, outflow: Outflow, now: float) -> None:
        if not outflow.is_stuck or outflow.pieces != self._written_pieces:
            self._written_pieces = outflow.pieces
            self._since_s = now
        elif now > self._since_s + self._shared.limits.write_stall_s:
            self.transport.abortConnection()

    def _check_body(self, incoming: Exchange, now: float) -> None:
        limits = self._shared.limits
        allowed_s = limits.body_grace_s + incoming.received_bytes / limits.body_bytes_per_s
        # While we do not read, the client is not at fault.
        if self._is_reading and now > max(self._reader.began_s, self._since_s) + allowed_s:
            self._time_out()

    def _time_out(self) -> None:
        self._reader.refuse(MatrixError(408, "M_UNKNOWN", "The request took too long to arrive"))
        self._advance()
