"""Where a search goes on: as text for clients, who do not look inside."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Self

from attrs import frozen

from matrix.tokens import BadToken

_KEYS = {"r": "room_id", "s": "sender"}


@frozen
class SearchToken:
    """`number`: how many of the most relevant to pass over, or the position before which to look for recent ones.

    `group`: (key, value), if only that group is to go on. `count`: how many the first page found in all.
    """

    number: int
    group: tuple[str, str] | None = None
    count: int | None = None

    def __str__(self) -> str:
        group = "" if self.group is None else self.group[0][0] + self.group[1]
        count = "" if self.count is None else f",{self.count}"
        return urlsafe_b64encode(f"{self.number}{count}|{group}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: BadToken."""
        try:
            decoded = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode()
            numbers, _, group = decoded.partition("|")
            number, comma, count = numbers.partition(",")
            return cls(
                _number(number), (_KEYS[group[0]], group[1:]) if group else None, _number(count) if comma else None
            )
        except (ValueError, KeyError) as error:
            raise BadToken("not a token of a search") from error


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    # No more than fits into a bigint.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError(text)
    return int(text)
