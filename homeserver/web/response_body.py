"""The body of an answer that we asked for, as it comes: `async for chunk in body`, at the reader's pace."""

from collections import deque
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

# Beyond so much that nobody has read yet the connection is not read from.
_HIGH_BYTES = 512 * 1024


class BodyBroken(Exception):
    """The body broke off, or paused for too long."""


class ResponseBody(Protocol):
    """Given to `response.deliverBody`. Who does not read to the end calls `close`."""

    transport: Any

    def __init__(self, reactor: IReactorTime, pause_s: float) -> None:
        self._reactor = reactor
        self._pause_s = pause_s
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_paused = False
        self._end: Exception | None = None
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Without a Content-Length the end of the connection is the end of the body: PotentialDataLoss.
        if reason.check(ResponseDone, PotentialDataLoss):  # type: ignore[no-untyped-call]
            self._end = StopAsyncIteration()
        else:
            self._end = BodyBroken(f"the answer broke off: {reason.getErrorMessage()}")
        self._wake()

    def close(self) -> None:
        """Nothing more is wanted."""
        if self._end is None:
            self._end = BodyBroken("closed")
            if self.transport is not None:
                self.transport.loseConnection()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._end is not None:
                raise self._end
            self._waiting = Deferred()
            try:
                await self._waiting.addTimeout(self._pause_s, self._reactor)
            except TwistedTimeout as error:
                self.close()
                raise BodyBroken(f"nothing came for {self._pause_s:g} s") from error
            finally:
                self._waiting = None
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        if self._is_paused and self._held_bytes <= _HIGH_BYTES // 2:
            self._is_paused = False
            self.transport.resumeProducing()
        return chunk

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
