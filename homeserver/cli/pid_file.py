"""The file that tells other programs the id of the running process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from homeserver.cli.faults import Fault


@contextlib.contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Is there while the process runs; with None there is none. Raises: Fault, if it cannot be written."""
    if path is None:
        yield
        return
    file, text = Path(path).absolute(), f"{os.getpid()}\n"
    try:
        file.write_text(text)
    except OSError as error:
        raise Fault(f"pid_file: {file} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        # Another process may have written its own meanwhile.
        with contextlib.suppress(OSError):
            if file.read_text() == text:
                file.unlink()
