"""Tokens that clients keep: a position of the stream, or a place in a room's history.

Opaque to clients. They hold no name of a process, so that any process understands any other's, before and after a
restart.
"""

import re
from typing import Self

from attrs import frozen

_SYNC = re.compile(r"s(\d{1,18})")
_PAGE = re.compile(r"t(\d{1,16})_(-?\d{1,18})")


class BadToken(ValueError):
    """The text is no token of ours."""


@frozen(order=True)
class SyncToken:
    """Everything up to `position` has been told. `s<position>`"""

    position: int

    def __str__(self) -> str:
        return f"s{self.position}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: BadToken."""
        match = _SYNC.fullmatch(text)
        if match is None:
            raise BadToken(f"{text[:80]!r} is not a sync token")
        return cls(int(match[1]))


@frozen(order=True)
class PageToken:
    """A gap in a room's history, which is ordered by (depth, position): what is not above it comes before it.

    `t<depth>_<position>`
    """

    depth: int
    position: int

    def __str__(self) -> str:
        return f"t{self.depth}_{self.position}"

    @classmethod
    def before(cls, depth: int, position: int) -> Self:
        """The gap before the event of that depth and position."""
        return cls(depth, position - 1)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: BadToken."""
        match = _PAGE.fullmatch(text)
        if match is None:
            raise BadToken(f"{text[:80]!r} is not a pagination token")
        return cls(int(match[1]), int(match[2]))


def parse_history_token(text: str) -> SyncToken | PageToken:
    """`/messages` and its like take both kinds. Raises: BadToken."""
    return SyncToken.parse(text) if text.startswith("s") else PageToken.parse(text)
