"""The way out of a connection for bodies that do not fit into one write: in pieces, at the client's pace."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from homeserver.web.body import ClientGone
from homeserver.web.replies import StreamReply

# One piece: sealing this much for TLS takes 0.2 ms, and a thread's hop for it is well spent.
PIECE_BYTES = 256 * 1024

# Runs a blocking function of a file elsewhere: twisted's deferToThread, or in tests maybeDeferred.
OnThread = Callable[..., "Deferred[Any]"]


class BrokenAnswer(Exception):
    """The body had another length than its headers said."""


@implementer(IPushProducer)
class Outflow:
    """Writes to a transport, waiting while its buffer is full. `is_stuck` while it waits; `pieces` counts writes."""

    def __init__(self, transport: Any) -> None:
        self.pieces = 0
        self._transport = transport
        self._drained: Deferred[None] | None = None
        self._is_gone = False
        self._transport.registerProducer(self, True)

    @property
    def is_stuck(self) -> bool:
        return self._drained is not None

    async def write(self, piece: bytes) -> None:
        """Raises: ClientGone."""
        if self._is_gone:
            raise ClientGone
        self.pieces += 1
        self._transport.write(piece)
        if self._drained is not None:
            await self._drained

    def close(self) -> None:
        """Nothing more is to be written."""
        if not self._is_gone:
            self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        if self._drained is None:
            self._drained = Deferred()

    def resumeProducing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.called:
            drained.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._is_gone = True
        drained, self._drained = self._drained, None
        if drained is not None and not drained.called:
            drained.errback(ClientGone())


def pieces_of(parts: Sequence[bytes]) -> list[bytes]:
    """The parts cut, or gathered, into pieces of about PIECE_BYTES."""
    pieces: list[bytes] = []
    gathered: list[bytes] = []
    gathered_bytes = 0
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            slice_ = part[start : start + PIECE_BYTES]
            gathered.append(slice_)
            gathered_bytes += len(slice_)
            if gathered_bytes >= PIECE_BYTES:
                pieces.append(b"".join(gathered))
                gathered, gathered_bytes = [], 0
    return [*pieces, b"".join(gathered)] if gathered else pieces


async def chunks_of(reply: StreamReply, on_thread: OnThread) -> AsyncIterator[bytes]:
    """The body of a streamed reply; a file is read on a thread, since a disk may let us wait."""
    source = reply.chunks
    if isinstance(source, AsyncIterator):
        async for chunk in source:
            if chunk:
                yield chunk
        return
    while chunk := await on_thread(source.read, PIECE_BYTES):
        yield chunk


async def release(reply: StreamReply) -> None:
    """Closes the file or the generator, also one that was not read to its end."""
    source: AsyncIterator[bytes] | BinaryIO = reply.chunks
    if isinstance(source, AsyncIterator):
        close: Callable[[], Awaitable[None]] | None = getattr(source, "aclose", None)
        if close is not None:
            await close()
    else:
        source.close()


async def write_stream(
    outflow: Outflow, reply: StreamReply, length: int | None, on_thread: OnThread, *, chunked: bool
) -> None:
    """Writes the body; one without a length in chunks, if `chunked`. Raises: BrokenAnswer, ClientGone."""
    written = 0
    async for chunk in chunks_of(reply, on_thread):
        written += len(chunk)
        if length is not None and written > length:
            raise BrokenAnswer(f"the body is longer than {length} bytes")
        is_framed = length is None and chunked
        await outflow.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_framed else chunk)
    if length is not None and written < length:
        raise BrokenAnswer(f"the body has {written} of {length} bytes")
    if length is None and chunked:
        await outflow.write(b"0\r\n\r\n")
