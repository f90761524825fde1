"""From a connection's bytes to exchanges: llhttp's callbacks, and the limits that llhttp does not know.

llhttp runs without leniencies: conflicting lengths, bad chunk sizes, bare LF and folded headers are refused by it,
which leaves nothing to smuggle a request in. What it takes in without telling us (an unfinished header, chunk
extensions, trailers) is bounded by counting what it was fed.

The callbacks only note what they see; handlers are never run inside of one.

Source: RFC 9112.
"""

from collections import deque
from collections.abc import Callable
from typing import NoReturn

import httptools

from homeserver.web.body import BodyStream
from homeserver.web.call import Call, Headers, Peer
from homeserver.web.exchange import Exchange, Limits
from homeserver.web.router import Body, Router
from matrix.errors import BadRequest, LimitExceeded, MatrixError, TooLarge, Unrecognized


class _Refused(Exception):
    """Raised out of a callback to stop the parser; the reason is with the reader."""


class RequestReader:
    """Parses requests into `queue`. A fault becomes an exchange too, after which the reader `is_deaf`."""

    def __init__(
        self, router: Router, limits: Limits, peer: Peer, queue: deque[Exchange], seconds: Callable[[], float]
    ) -> None:
        self.is_deaf = False
        # Between the first byte of a request and the end of its headers.
        self.in_head = False
        self.began_s = 0.0
        # The request whose body is being read.
        self.incoming: Exchange | None = None
        self._router = router
        self._limits = limits
        self._peer = peer
        self._queue = queue
        self._seconds = seconds
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._overhead_bytes = 0
        self._refusal: MatrixError | None = None
        self._on_first_read: Callable[[Exchange], None]
        self._on_flow: Callable[[], None]
        self._parser = httptools.HttpRequestParser(self)

    def watch_streams(self, on_first_read: Callable[[Exchange], None], on_flow: Callable[[], None]) -> None:
        """Whom streamed bodies tell that their reader has begun, and that it fell behind or caught up."""
        self._on_first_read, self._on_flow = on_first_read, on_flow

    def close(self) -> None:
        """Lets go of the parser and of those who watch: they refer to us, and the collector need not find that out."""
        self.is_deaf = True
        self.incoming = None
        self.watch_streams(lambda exchange: None, lambda: None)
        del self._parser

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Upgrades are declined by an ordinary answer and a close: what follows is in no protocol of ours.
            self.is_deaf = True
        except httptools.HttpParserInvalidMethodError:
            self.refuse(Unrecognized(405))
        except httptools.HttpParserError:
            self.refuse(self._refusal or BadRequest("Malformed HTTP request", "M_UNKNOWN"))
        else:
            if self.in_head or self.incoming is not None:
                self._bound_overhead(len(data))

    def refuse(self, error: MatrixError) -> None:
        """Answers with the error when its turn comes, and reads nothing more."""
        self.is_deaf = True
        self.in_head = False
        exchange, self.incoming = self.incoming, None
        if exchange is None:
            exchange = Exchange(None, None, keep_alive=False, is_http_10=False)
            self._queue.append(exchange)
        exchange.refuse(error)

    def _bound_overhead(self, fed_bytes: int) -> None:
        self._overhead_bytes += fed_bytes
        if self.in_head:
            # The first read may bring the end of another request with it.
            if self._overhead_bytes > 2 * self._limits.head_bytes or len(self._pairs) > self._limits.max_headers:
                self.refuse(_head_too_large())
        elif self.incoming is not None:
            # A chunk of one byte travels as six.
            allowed = 8 * self.incoming.received_bytes + 2 * self._limits.head_bytes
            if self._overhead_bytes > allowed or len(self._pairs) > 2 * self._limits.max_headers:
                self.refuse(BadRequest("Malformed HTTP body", "M_UNKNOWN"))

    def _reject(self, error: MatrixError) -> NoReturn:
        self._refusal = error
        raise _Refused

    # -- llhttp's callbacks

    def on_message_begin(self) -> None:
        self.in_head = True
        self.began_s = self._seconds()
        self._target = b""
        self._pairs = []
        self._overhead_bytes = 0

    def on_url(self, part: bytes) -> None:
        self._target = self._target + part if self._target else part
        if len(self._target) > self._limits.target_bytes:
            self._reject(MatrixError(414, "M_TOO_LARGE", "The URL is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        # Called more than anything else: what is to be checked is checked when all are there. Trailers come here too,
        # and go no further.
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = False
        headers = self._read_headers()
        parser = self._parser
        is_http_10 = self._check_head(headers, parser.get_http_version())
        target = self._target if self._target[:1] == b"/" else self._origin_form()
        method = parser.get_method().decode()
        call = Call(method, target, Headers(headers), self._peer, int(self.began_s * 1000))
        match = self._router.find(method, target.partition(b"?")[0])
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        exchange = Exchange(call, match, keep_alive=keep_alive, is_http_10=is_http_10)
        if b"expect" in headers and not is_http_10:
            exchange.wants_continue = headers[b"expect"][0].lower() == b"100-continue"
        self.incoming = exchange
        self._queue.append(exchange)
        limit = match.route.max_body_bytes
        if b"content-length" in headers and int(headers[b"content-length"][0]) > limit:
            self._reject(_body_too_large(limit))
        if match.route.body is Body.STREAM:
            self._stream_body(exchange, call, limit)

    def _read_headers(self) -> dict[bytes, list[bytes]]:
        """The headers by lower-case name."""
        if len(self._pairs) > self._limits.max_headers:
            self._reject(_head_too_large())
        headers: dict[bytes, list[bytes]] = {}
        size = 0
        for name, value in self._pairs:
            size += len(name) + len(value)
            name = name.lower()
            if name in headers:
                headers[name].append(value)
            else:
                headers[name] = [value]
        if size > self._limits.head_bytes:
            self._reject(_head_too_large())
        return headers

    def _check_head(self, headers: dict[bytes, list[bytes]], version: str) -> bool:
        """Whether it is HTTP/1.0. Rejects what RFC 9112 tells to reject and llhttp does not look at."""
        if len(self._queue) >= self._limits.max_pipelined:
            self._reject(LimitExceeded(1000, "Too many pipelined requests"))
        if version not in ("1.1", "1.0"):
            self._reject(MatrixError(505, "M_UNKNOWN", "HTTP version not supported"))
        if len(headers.get(b"host", ())) != 1 and (version == "1.1" or b"host" in headers):
            self._reject(BadRequest("There must be one Host header", "M_UNKNOWN"))
        is_chunked = b"transfer-encoding" in headers
        if is_chunked and (version == "1.0" or b"content-length" in headers):
            self._reject(BadRequest("Ambiguous body length", "M_UNKNOWN"))
        # llhttp takes the body of an upgrade for the next protocol's bytes.
        if self._parser.should_upgrade() and (is_chunked or headers.get(b"content-length", [b"0"]) != [b"0"]):
            self._reject(MatrixError(501, "M_UNRECOGNIZED", "Upgrades with a body are not supported"))
        return version == "1.0"

    def _origin_form(self) -> bytes:
        """The path and query of an absolute request target, which a server must take: RFC 9112, 3.2.2."""
        if self._target == b"*":
            return b"/*"
        scheme, separator, rest = self._target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            self._reject(BadRequest("Malformed request target", "M_UNKNOWN"))
        return b"/" + rest.partition(b"/")[2]

    def _stream_body(self, exchange: Exchange, call: Call, limit: int) -> None:
        call.stream = exchange.stream = BodyStream(
            limit, on_first_read=lambda: self._on_first_read(exchange), on_flow=self._on_flow
        )
        exchange.is_ready = True

    def on_body(self, chunk: bytes) -> None:
        exchange = self.incoming
        if exchange is None or exchange.match is None:
            return
        exchange.received_bytes += len(chunk)
        if exchange.stream is not None:
            exchange.stream.feed(chunk)
        elif exchange.received_bytes > exchange.match.route.max_body_bytes:
            self._reject(_body_too_large(exchange.match.route.max_body_bytes))
        else:
            exchange.collect(chunk)

    def on_message_complete(self) -> None:
        exchange, self.incoming = self.incoming, None
        if exchange is not None:
            exchange.finish()


def _head_too_large() -> MatrixError:
    return MatrixError(431, "M_TOO_LARGE", "The headers are too large")


def _body_too_large(limit: int) -> MatrixError:
    return TooLarge(f"The body is larger than {limit} bytes")
