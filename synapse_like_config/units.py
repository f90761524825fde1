"""The units in which options are written: sizes (`50M`), durations (`1h`), rates, networks.

Their names are types, by which `reading` knows how to read an option.
"""

import re
from ipaddress import ip_network
from typing import NewType

from attrs import frozen

Milliseconds = NewType("Milliseconds", int)
Bytes = NewType("Bytes", int)
# An IP address or network, as text: `10.0.0.0/8`.
Network = NewType("Network", str)
# The start of URLs, http or https, without a slash at its end.
BaseUrl = NewType("BaseUrl", str)

_SECOND = 1000
_DAY = 24 * 3600 * _SECOND
_DURATIONS = {"s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": _DAY, "w": 7 * _DAY, "y": 365 * _DAY}
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# "1.5h" is none: as in Synapse a number of units is whole.
_DURATION = re.compile(r"([0-9]{1,15})(ms|[smhdwy])?")
# The documentation of Synapse writes KiB too, its code takes K.
_SIZE = re.compile(r"([0-9]{1,15})(?:([KMGT])(?:i?B)?)?")


class BadValue(ValueError):
    """The value of an option will not do. The message goes on from `the.key.path: `.

    `key`: the option below the class that was read, where a check of the whole class finds fault with one.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


@frozen
class Rate:
    """A rate limit: so many a second in the long run, and so many at once."""

    per_second: float
    burst_count: float

    def check(self) -> None:
        if self.per_second < 0 or self.burst_count < 0:
            raise BadValue("a rate cannot be negative")


def parse_duration(raw: object) -> Milliseconds:
    """A whole number of milliseconds, or a text with a unit. Raises: BadValue."""
    if type(raw) is int and raw >= 0:
        return Milliseconds(raw)
    parsed = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if parsed is None:
        raise BadValue(f"{raw!r} is no duration: write 30s, 5m, 1h, 7d, 2w or 1y, or a number of milliseconds")
    return Milliseconds(int(parsed[1]) * _DURATIONS.get(parsed[2] or "", 1))


def parse_size(raw: object) -> Bytes:
    """A whole number of bytes, or a text with K, M, G or T, powers of 1024. Raises: BadValue."""
    if type(raw) is int and raw >= 0:
        return Bytes(raw)
    parsed = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if parsed is None:
        raise BadValue(f"{raw!r} is no size: write 500K, 50M, 10G or 1T, or a number of bytes")
    return Bytes(int(parsed[1]) * _SIZES.get(parsed[2] or "", 1))


def parse_network(raw: object) -> Network:
    """Raises: BadValue."""
    try:
        # A bare number would be taken for an address.
        return Network(str(ip_network(raw, strict=False))) if isinstance(raw, str) else _no_network(raw)
    except ValueError:
        return _no_network(raw)


def _no_network(raw: object) -> Network:
    raise BadValue(f"{raw!r} is no IP address or network such as 10.0.0.0/8 or fe80::/10")


def parse_base_url(raw: object) -> BaseUrl:
    """Raises: BadValue."""
    if not isinstance(raw, str) or not re.fullmatch(r"https?://[^\s?#/]+(?:/[^\s?#]*)?", raw):
        raise BadValue(f"{raw!r} is no URL such as https://matrix.example.org/")
    return BaseUrl(raw.rstrip("/"))


def show_duration(value: int) -> str | int:
    """The shortest way to write it that `parse_duration` reads."""
    return _show(value, _DURATIONS)


def show_size(value: int) -> str | int:
    """The shortest way to write it that `parse_size` reads."""
    return _show(value, _SIZES)


def _show(value: int, units: dict[str, int]) -> str | int:
    fitting = [(value // size, unit) for unit, size in units.items() if value and value % size == 0]
    if not fitting:
        return value
    number, unit = min(fitting)
    return f"{number}{unit}"
