"""Request bodies: JSON from bytes that nobody vouches for, and streams with back-pressure."""

from collections import deque
from collections.abc import Callable
from typing import Any, Self

import orjson
from twisted.internet.defer import Deferred

from matrix.errors import BadRequest, TooLarge

# An event is at most 64 kB; what carries many things in one request (keys, to-device messages for some hundred
# devices) stays below this. 1 MiB of the densest JSON takes 20 ms to decode: no more by default, so that one client
# cannot hold up the others. Routes that need more (federation transactions, key backups) say so.
DEFAULT_JSON_BYTES = 1024 * 1024
# 50 PDUs and 100 EDUs of 64 kB: server-server API, "Transactions"; Synapse's bound is 200 events too.
LARGE_JSON_BYTES = 200 * 65536
# What may come with a request that needs no body: enough for clients that send `{}` and to keep the connection.
UNWANTED_BYTES = 65536

# Deeper JSON has no use in Matrix. orjson decodes to 1024 but encodes to 254 only: what we accept we must be able to
# send on, wrapped in some more levels.
MAX_JSON_DEPTH = 100
# As deep as can be decoded at all: for bodies of which each part is judged for itself.
ANY_DEPTH = 1024

# A stream's buffer is one of Twisted's reads (64 kB) above this at most.
_HIGH_BYTES = 256 * 1024
_LOW_BYTES = 64 * 1024


class ClientGone(Exception):
    """The client closed the connection before the request was over: nobody is left to be told."""


def values_in(part: bytes | bytearray | str) -> int:
    """How many JSON values stand in it, or a few more: brackets and commas are counted, in texts too."""
    if isinstance(part, str):
        return part.count(",") + part.count("[") + part.count("{")
    return part.count(b",") + part.count(b"[") + part.count(b"{")


def max_values(size: int) -> int:
    """So many values may a large body of this size hold.

    Events have one in 20 to 30 bytes. The densest JSON, `[[],[],[]...]`, has one in three, and takes twenty times its
    size in memory: with this it takes no more than events do.
    """
    return 500_000 + size // 16


def decode_json(body: bytes | bytearray, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """Any JSON value. NaN, lone surrogates, bad UTF-8, depth beyond `max_depth` and far too many values are refused."""
    if len(body) > DEFAULT_JSON_BYTES and values_in(body) > max_values(len(body)):
        raise TooLarge("The body holds too many values")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not valid JSON", "M_NOT_JSON") from error
    # Counting brackets costs nothing and clears nearly every body; only the rest is walked.
    if body.count(b"{") + body.count(b"[") > max_depth and is_deeper(value, max_depth):
        raise BadRequest(f"The body nests deeper than {max_depth} levels")
    return value


def is_deeper(value: Any, levels: int) -> bool:
    """Does the JSON value nest deeper than so many levels? Level by level, without recursion."""
    layer = [value]
    for _ in range(levels):
        layer = [child for node in layer for child in _children(node)]
        if not layer:
            return False
    return any(isinstance(node, dict | list) for node in layer)


def _children(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


class BodyStream:
    """A request body as it arrives: `async for chunk in call.stream`.

    The reader's pace is the client's: when the buffer is full the connection stops reading. Raises: ClientGone when
    the client leaves, TooLarge beyond the route's limit, BadRequest for a broken encoding.
    """

    def __init__(self, max_bytes: int, *, on_first_read: Callable[[], None], on_flow: Callable[[], None]) -> None:
        self.is_full = False
        self._max_bytes = max_bytes
        self._received_bytes = 0
        self._buffered_bytes = 0
        self._chunks: deque[bytes] = deque()
        self._end: BaseException | None = None
        self._waiting: Deferred[None] | None = None
        self._on_first_read: Callable[[], None] | None = on_first_read
        self._on_flow = on_flow

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._on_first_read is not None:
            first, self._on_first_read = self._on_first_read, None
            first()
        while not self._chunks:
            if self._end is not None:
                raise self._take_end()
            self._waiting = Deferred()
            await self._waiting
        return self._take()

    def _take_end(self) -> BaseException:
        """Another takes its place: to keep what is raised is to keep its traceback, and with it all who read."""
        end = self._end
        assert end is not None
        self._end = StopAsyncIteration() if isinstance(end, StopAsyncIteration) else ClientGone()
        return end

    def _take(self) -> bytes:
        chunk = self._chunks.popleft()
        self._buffered_bytes -= len(chunk)
        if self.is_full and self._buffered_bytes <= _LOW_BYTES:
            self.is_full = False
            self._on_flow()
        return chunk

    def feed(self, chunk: bytes) -> None:
        """The connection read a chunk."""
        self._received_bytes += len(chunk)
        if self._end is not None:
            return
        if self._received_bytes > self._max_bytes:
            self.fail(TooLarge(f"The body is larger than {self._max_bytes} bytes"))
            return
        self._chunks.append(chunk)
        self._buffered_bytes += len(chunk)
        if not self.is_full and self._buffered_bytes > _HIGH_BYTES:
            self.is_full = True
            self._on_flow()
        self._wake()

    def finish(self) -> None:
        """The body is whole."""
        if self._end is None:
            self._end = StopAsyncIteration()
            self._wake()

    def fail(self, error: BaseException) -> None:
        """The body will never be whole: what is buffered is dropped."""
        if not isinstance(self._end, StopAsyncIteration):
            self._end = error
            self._chunks.clear()
            self._buffered_bytes = 0
            self.is_full = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)
