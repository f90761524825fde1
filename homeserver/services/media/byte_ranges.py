"""Parts of files that clients ask for: to go on with a download, or to look into the middle of a film. Pure.

Source: RFC 9110, 13.1.5 and 14.
"""

import re

from attrs import frozen

# More digits than any file has bytes.
_RANGE = re.compile(r"\s*bytes\s*=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(Exception):
    """The file has no such part."""


@frozen
class ByteRange:
    """From the byte at `start` on, `length` bytes, at least one."""

    start: int
    length: int

    def content_range(self, file_length: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{file_length}"


def read_range(header: str | None, if_range: str | None, tag: str, file_length: int) -> ByteRange | None:
    """The part that the headers ask for; None for the whole file.

    What is no range, several of them, and a range of another version than `tag` are passed over, as the RFC allows or
    demands. Raises: Unsatisfiable.
    """
    found = _RANGE.fullmatch(header) if header is not None else None
    if found is None or (if_range is not None and if_range.strip() != tag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, file_length - int(suffix)), file_length
    else:
        start, end = int(first), min(file_length, int(last) + 1 if last else file_length)
        if last and int(last) < start:
            return None
    if start >= file_length:
        raise Unsatisfiable
    return ByteRange(start, end - start)
