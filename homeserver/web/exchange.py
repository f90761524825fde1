"""One request and its answer on a connection, and what a connection may cost."""

from attrs import frozen
from twisted.internet.defer import Deferred

from homeserver.web.body import BodyStream
from homeserver.web.call import Call
from homeserver.web.router import Match
from matrix.errors import MatrixError


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
    # A piece of an answer (outflow.PIECE_BYTES) must be taken in this time.
    write_stall_s: float = 60
    # How long to go on reading, and dropping, after a refusal: closing at once would reset the connection and could
    # destroy the answer on its way. Source: RFC 9112, 9.6.
    linger_s: float = 10


class Exchange:
    """A request as it arrives and is answered.

    `is_whole`: its body is complete; `is_ready`: its handler may start. One without a call could not be parsed.
    """

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
    def is_head(self) -> bool:
        return self.call is not None and self.call.method == "HEAD"

    def collect(self, chunk: bytes) -> None:
        """Takes up a part of a body that the handler gets whole."""
        if not self.body:
            self.body = chunk
            return
        # One growing buffer: a list of tiny chunks would weigh fifty times their bytes.
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += chunk

    def finish(self) -> None:
        """The request is complete."""
        self.is_whole = self.is_ready = True
        if self.stream is not None:
            self.stream.finish()
        elif self.call is not None:
            self.call.take_body(self.body)

    def refuse(self, error: MatrixError) -> None:
        """The request will never be complete: the error is its answer, and the connection's last."""
        self.refusal = error
        self.is_ready = True
        if self.stream is not None:
            self.stream.fail(error)
