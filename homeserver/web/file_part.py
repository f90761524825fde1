"""A piece of a file as the body of an answer, perhaps between other bytes."""

import io
from typing import BinaryIO


class FilePart(io.RawIOBase):
    """`length` bytes of an open file from `start` on, `before` before them and `after` behind. Closes the file."""

    def __init__(self, file: BinaryIO, start: int, length: int, *, before: bytes = b"", after: bytes = b"") -> None:
        self._file = file
        self._left = length
        self._before = before
        self._after = after
        self.length = len(before) + length + len(after)
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """The next piece, of any length up to some more than `size`; nothing at the end, or where the file ends too
        early, so that whoever counts finds out."""
        if self._before:
            piece, self._before = self._before, b""
        elif self._left:
            piece = self._file.read(self._left if size < 0 else min(size, self._left))
            self._left -= len(piece)
        else:
            piece, self._after = self._after, b""
        return piece

    def close(self) -> None:
        self._file.close()
        super().close()
