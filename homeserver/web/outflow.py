"""The way out of a connection for bodies that do not fit into one write: in pieces, at the client's pace."""

import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from homeserver.web.body import ClientGone
from homeserver.web.replies import StreamReply

# One piece: sealing this much for TLS takes 0.2 ms, and a thread's hop for it is well spent.
PIECE_BYTES = 256 * 1024
# So much goes straight to the socket before others have their turn: half a millisecond's work.
MAX_DIRECT_BYTES = 1024 * 1024
# Linux: fail rather than wait for the disk.
_NOT_WAITING: int | None = getattr(os, "RWF_NOWAIT", None)

# Runs a blocking function of a file elsewhere: twisted's deferToThread, or in tests maybeDeferred.
OnThread = Callable[..., "Deferred[Any]"]


class BrokenAnswer(Exception):
    """The body had another length than its headers said."""


@implementer(IPushProducer)
class Outflow:
    """Writes to a transport, waiting while its buffer is full. `is_stuck` while it waits; `pieces` counts writes.

    `is_direct`: the transport is a socket whose buffer is empty. While it is, pieces go straight to the socket, which
    saves a copy and a turn of the reactor for each.
    """

    def __init__(self, transport: Any, *, is_direct: bool = False) -> None:
        self.pieces = 0
        self._transport = transport
        self._is_socket = self._is_empty = is_direct
        self._direct_bytes = 0
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
        if self._is_empty and self._direct_bytes < MAX_DIRECT_BYTES:
            piece = self._send(piece)
            if not piece:
                return
        self._is_empty = False
        self._transport.write(piece)
        if self._drained is not None:
            await self._drained

    def _send(self, piece: bytes) -> bytes:
        """What the socket does not take at once."""
        while piece:
            sent = self._transport.writeSomeData(piece)
            # An exception is the connection's end: the ordinary way finds out and tells.
            if not isinstance(sent, int) or sent <= 0:
                break
            self._direct_bytes += sent
            piece = piece[sent:]
        return piece

    def close(self) -> None:
        """Nothing more is to be written."""
        if not self._is_gone:
            self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        if self._drained is None:
            self._drained = Deferred()

    def resumeProducing(self) -> None:
        self._is_empty, self._direct_bytes = self._is_socket, 0
        drained, self._drained = self._drained, None
        if drained is not None and not drained.called:
            drained.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._is_gone = True
        drained, self._drained = self._drained, None
        if drained is not None and not drained.called:
            drained.errback(ClientGone())


def is_drained(transport: Any) -> bool:
    """Has the socket taken all that was written to its transport?"""
    # Twisted's two buffers: what is on its way, and what was written since. It tells only those who wait for it.
    return not transport.dataBuffer and not transport._tempDataBuffer


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
    """The body of a streamed reply. A file is read here as far as it is in memory, which a hop to a thread would cost
    more than; what a disk has yet to bring is read on a thread."""
    source = reply.chunks
    if isinstance(source, AsyncIterator):
        async for chunk in source:
            if chunk:
                yield chunk
        return
    descriptor = _descriptor(source)
    if descriptor is None:
        while chunk := await on_thread(source.read, PIECE_BYTES):
            yield chunk
        return
    buffer, at = bytearray(PIECE_BYTES), source.tell()
    while chunk := _read_at_once(descriptor, buffer, at) or await on_thread(os.pread, descriptor, PIECE_BYTES, at):
        at += len(chunk)
        yield chunk


def _descriptor(source: BinaryIO) -> int | None:
    """Of a real file, where it can be read without waiting."""
    try:
        return None if _NOT_WAITING is None else source.fileno()
    except (OSError, io.UnsupportedOperation):
        return None


def _read_at_once(descriptor: int, buffer: bytearray, at: int) -> bytes:
    """What is in memory of the file there; nothing if that is nothing, or the file system cannot tell."""
    assert _NOT_WAITING is not None
    try:
        length = os.preadv(descriptor, [buffer], at, _NOT_WAITING)
    except OSError:
        return b""
    return bytes(memoryview(buffer)[:length])


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
