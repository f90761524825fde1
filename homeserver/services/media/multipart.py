"""A multipart body as it comes, part after part, never whole in memory.

    parts = Multipart(chunks, boundary_of(content_type))
    while (headers := await parts.next()) is not None:
        async for piece in parts.body(): ...

Source: RFC 2046, 5.1; server-server API, "Content Repository".
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping

_BOUNDARY = re.compile(r"(?i)multipart/mixed\s*;(?:.*;)?\s*boundary\s*=\s*(?:\"([^\"\\]{1,70})\"|([^\s;\"]{1,70}))")
# Of what stands before the first part, and of one part's headers.
MAX_PREAMBLE_BYTES = 65_536
MAX_HEADER_BYTES = 16_384
# What may stand between a boundary and the end of its line.
MAX_PADDING_BYTES = 256


class BadMultipart(Exception):
    """The body is not made of parts, or ends too early."""


def boundary_of(content_type: str) -> bytes:
    """Raises: BadMultipart."""
    found = _BOUNDARY.match(content_type.strip())
    if found is None:
        raise BadMultipart("the content type is not multipart/mixed with a boundary")
    return (found[1] or found[2]).encode("utf-8", "replace")


class Multipart:
    """The parts of a body. What is left of a part when the next is asked for is skipped."""

    def __init__(self, chunks: AsyncIterable[bytes], boundary: bytes) -> None:
        self._chunks = chunks.__aiter__()
        self._delimiter = b"\r\n--" + boundary
        # The first boundary may stand at the very beginning; the others follow a line's end.
        self._buffer = bytearray(b"\r\n")
        self._in_body = True
        self._is_first = True

    async def next(self) -> Mapping[str, str] | None:
        """The headers of the next part, by small name; None after the last. Raises: BadMultipart."""
        skipped = 0
        async for piece in self.body():
            skipped += len(piece)
            if self._is_first and skipped > MAX_PREAMBLE_BYTES:
                raise BadMultipart("too much stands before the first part")
        self._is_first = False
        await self._fill(2)
        if self._buffer.startswith(b"--"):
            return None
        line_end = await self._find(b"\r\n", 0, MAX_PADDING_BYTES)
        if bytes(self._buffer[:line_end]).strip(b" \t"):
            raise BadMultipart("more stands on the line of a boundary")
        end = await self._find(b"\r\n\r\n", line_end, MAX_HEADER_BYTES)
        headers = _headers(bytes(self._buffer[line_end + 2 : end]))
        # Of an empty part some write the blank line only once, which then is the beginning of the boundary.
        del self._buffer[: end + 2]
        await self._fill(len(self._delimiter))
        if not self._buffer.startswith(self._delimiter):
            del self._buffer[:2]
        self._in_body = True
        return headers

    async def body(self) -> AsyncIterator[bytes]:
        """The part's bytes. Raises: BadMultipart if they break off."""
        while self._in_body:
            at = self._buffer.find(self._delimiter)
            upto = at if at >= 0 else len(self._buffer) - len(self._delimiter) + 1
            if upto > 0:
                piece = bytes(self._buffer[:upto])
                del self._buffer[:upto]
                yield piece
            if at >= 0:
                del self._buffer[: len(self._delimiter)]
                self._in_body = False
            else:
                await self._read()

    async def _find(self, wanted: bytes, start: int, most: int) -> int:
        while (at := self._buffer.find(wanted, start)) < 0:
            if len(self._buffer) > start + most:
                raise BadMultipart("a part's headers are too long")
            await self._read()
        return at

    async def _fill(self, length: int) -> None:
        while len(self._buffer) < length:
            await self._read()

    async def _read(self) -> None:
        try:
            self._buffer += await self._chunks.__anext__()
        except StopAsyncIteration as error:
            raise BadMultipart("the body breaks off") from error


def _headers(block: bytes) -> dict[str, str]:
    headers = {}
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
