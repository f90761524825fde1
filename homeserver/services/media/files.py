"""Media files on disk. Blocking: for threads.

Theory of operation. A file is written to its final place under a random name that is never used again. Until a row
of the database names it, an empty marker of that name lies in `unsettled/`: whoever dies in between leaves the marker,
and the sweep removes both. So no row is ever without its file, and the sweep's work is proportional to what went
wrong, not to what is stored.
"""

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, ParamSpec, Protocol, TypeVar

from storage.media import NewFile

P = ParamSpec("P")
T = TypeVar("T")


class InThread(Protocol):
    """Runs a blocking function on a thread."""

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


class Files:
    """The files below a directory, which processes on several machines may share."""

    def __init__(self, directory: Path) -> None:
        self._files = directory / "files"
        self._unsettled = directory / "unsettled"

    def path(self, name: str) -> Path:
        # 4096 directories: with ten million files some 2,500 in each.
        return self._files / name[:3] / name

    def begin(self) -> "Incoming":
        """A file to be written. Nothing is on the disk before its first bytes."""
        return Incoming(self, secrets.token_hex(16))

    def open(self, name: str) -> BinaryIO:
        """Raises: FileNotFoundError."""
        return open(self.path(name), "rb", buffering=0)

    def read(self, name: str, max_bytes: int) -> bytes:
        """The first so many bytes. Raises: FileNotFoundError."""
        with open(self.path(name), "rb") as file:
            return file.read(max_bytes)

    def settle(self, name: str) -> None:
        """A row names the file: it stays."""
        (self._unsettled / name).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files that no row names any more."""
        for name in names:
            self.path(name).unlink(missing_ok=True)
            self.settle(name)

    def unsettled(self, before_s: float, limit: int) -> list[str]:
        """Files whose fate is open, and which nobody has written to since then."""
        found: list[str] = []
        if not self._unsettled.exists():
            return found
        for entry in os.scandir(self._unsettled):
            path = self.path(entry.name)
            if (path if path.exists() else Path(entry.path)).stat().st_mtime < before_s:
                found.append(entry.name)
            if len(found) >= limit:
                break
        return found

    def create(self, name: str) -> int:
        """The descriptor of a new file, with its marker."""
        self._mark(name)
        path = self.path(name)
        try:
            return os.open(path, _NEW, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            for directory in (path.parent.parent, path.parent.parent.parent):
                sync_directory(directory)
            return os.open(path, _NEW, 0o640)

    def _mark(self, name: str) -> None:
        marker = self._unsettled / name
        try:
            os.close(os.open(marker, _NEW, 0o640))
        except FileNotFoundError:
            marker.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(marker, _NEW, 0o640))


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Incoming:
    """A file that is being written, and hashed on the way."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name
        self._hash = hashlib.sha256()
        self._length = 0
        self._descriptor = -1

    def write(self, data: bytes | memoryview) -> None:
        if self._descriptor < 0:
            self._descriptor = self._files.create(self._name)
        self._hash.update(data)
        self._length += len(data)
        _write_all(self._descriptor, data)

    def finish(self, data: bytes | memoryview, *, durable: bool = True) -> NewFile:
        """Writes the last of it; afterwards the file is safe, unless it need not be."""
        self.write(data)
        if durable:
            os.fsync(self._descriptor)
        self._close()
        if durable:
            sync_directory(self._files.path(self._name).parent)
        return NewFile(sha256=self._hash.digest(), name=self._name, length=self._length)

    def discard(self) -> None:
        """Leaves nothing behind."""
        self._close()
        self._files.remove([self._name])

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(directory: Path) -> None:
    """Makes the names in it durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
