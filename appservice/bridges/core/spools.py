"""Files on their way: in memory while they are small, then on the disk; never larger than the limit."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from appservice.bridges.core.errors import FileTooLarge


class SpooledFile:
    """What is written to it can be read from its beginning. `path` puts it on the disk."""

    def __init__(self, *, max_bytes: int, memory_bytes: int, directory: Path | None) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes, dir=str(directory or "") or None)  # noqa: SIM115  closed by spool
        self._directory = directory
        self._max_bytes = max_bytes
        self._path: Path | None = None
        self.size_bytes = 0

    def write(self, chunk: bytes) -> int:
        """Raises: FileTooLarge."""
        if self.size_bytes + len(chunk) > self._max_bytes:
            raise FileTooLarge(self._max_bytes)
        self.size_bytes += len(chunk)
        return self._file.write(chunk)

    def head(self, length: int = 64) -> bytes:
        self._file.seek(0)
        return self._file.read(length)

    def opened(self) -> BinaryIO:
        """To be read, from the beginning."""
        self._file.seek(0)
        return cast(BinaryIO, self._file)

    def path(self) -> Path:
        """The file as one with a name, until the spool is closed."""
        if self._path is None:
            descriptor, name = tempfile.mkstemp(dir=self._directory)
            self._path = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                self._file.seek(0)
                while chunk := self._file.read(1 << 18):
                    file.write(chunk)
        return self._path

    def close(self) -> None:
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Spools:
    """Makes them; see MediaOptions."""

    def __init__(self, *, max_bytes: int, memory_bytes: int, directory: Path | None = None) -> None:
        self.max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._directory = directory

    @contextmanager
    def spool(self, max_bytes: int | None = None) -> Iterator[SpooledFile]:
        """A file that is gone afterwards."""
        limit = self.max_bytes if max_bytes is None else min(max_bytes, self.max_bytes)
        file = SpooledFile(max_bytes=limit, memory_bytes=self._memory_bytes, directory=self._directory)
        try:
            yield file
        finally:
            file.close()
