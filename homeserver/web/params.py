"""Typed readers over a JSON object or a query string, each fault with the errcode that the spec gives it.

A missing parameter is M_MISSING_PARAM. One of the wrong type is M_BAD_JSON in a body and M_INVALID_PARAM in a query;
one of the right type whose value will not do is M_INVALID_PARAM in both. JSON null counts as missing: clients send it
for what they do not set.

Source: client-server API, "Common error codes".
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import unquote_to_bytes

from matrix.errors import BadRequest, InvalidParam, MatrixError, MissingParam
from matrix.ids import BadIdentifier, UserId

# Marks a parameter without a default. Any, so that `default: str = REQUIRED` is a str to the type checker.
REQUIRED: Any = object()

# What canonical JSON can carry: appendices, "Canonical JSON".
MAX_INTEGER = 2**53 - 1
# Of what was percent-encoded so much is kept to be recognised.
_MAX_REMEMBERED_BYTES = 1024
_INTEGER = re.compile(r"-?[0-9]{1,16}")


class Parses(Protocol):
    """A type that reads itself from text: UserId, RoomId, ..."""

    @classmethod
    def parse(cls, text: str) -> Self: ...


T = TypeVar("T")
P = TypeVar("P", bound=Parses)


class Fields:
    """The members of a JSON object. `raw` is the object itself."""

    __slots__ = ("_where", "raw")

    def __init__(self, raw: Mapping[str, Any], where: str = "") -> None:
        self.raw = raw
        self._where = where

    def __contains__(self, name: str) -> bool:
        return self._get(name) is not None

    def text(self, name: str, default: str = REQUIRED, *, max_bytes: int | None = None) -> str:
        value = self.optional_text(name, max_bytes=max_bytes)
        return self._or_default(name, value, default)

    def optional_text(self, name: str, *, max_bytes: int | None = None) -> str | None:
        """Text without NUL, which PostgreSQL's text cannot hold."""
        value = self._get(name)
        if value is None:
            return None
        return self._as_text(name, value, max_bytes)

    def integer(
        self,
        name: str,
        default: int = REQUIRED,
        *,
        minimum: int = -MAX_INTEGER,
        maximum: int = MAX_INTEGER,
        clamp: int | None = None,
    ) -> int:
        """An integer from `minimum` to `maximum`; what exceeds `clamp` is cut down to it without a fault."""
        value = self.optional_integer(name, minimum=minimum, maximum=maximum)
        value = self._or_default(name, value, default)
        return value if clamp is None else min(value, clamp)

    def optional_integer(self, name: str, *, minimum: int = -MAX_INTEGER, maximum: int = MAX_INTEGER) -> int | None:
        value = self._get(name)
        if value is None:
            return None
        value = self._as_integer(name, value)
        if not minimum <= value <= maximum:
            raise InvalidParam(f"{self._where}{name} must be from {minimum} to {maximum}")
        return value

    def boolean(self, name: str, default: bool = REQUIRED) -> bool:
        value = self._get(name)
        return self._or_default(name, None if value is None else self._as_boolean(name, value), default)

    def choice(self, name: str, choices: Collection[str], default: str = REQUIRED) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise InvalidParam(f"{self._where}{name} must be one of {', '.join(sorted(choices))}")
        return value

    def parsed(self, name: str, kind: type[P]) -> P:
        """The text as an identifier: `f.parsed("room_id", RoomId)`."""
        return self._parse(name, kind, self.text(name))

    def optional_parsed(self, name: str, kind: type[P]) -> P | None:
        value = self.optional_text(name)
        return None if value is None else self._parse(name, kind, value)

    def user_id(self, name: str) -> UserId:
        return self.parsed(name, UserId)

    def object(self, name: str) -> "Fields":
        value = self.optional_object(name)
        if value is None:
            raise MissingParam(self._where + name)
        return value

    def optional_object(self, name: str) -> "Fields | None":
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._fault(name, "an object")
        return Fields(value, f"{self._where}{name}.")

    def items(self, name: str, default: Sequence[Any] = REQUIRED, *, max_items: int | None = None) -> list[Any]:
        """An array's members as they are."""
        value = self._get(name)
        if value is None:
            return list(self._or_default(name, None, default))
        if not isinstance(value, list):
            raise self._fault(name, "an array")
        if max_items is not None and len(value) > max_items:
            raise InvalidParam(f"{self._where}{name} has more than {max_items} items")
        return value

    def objects(self, name: str, default: Sequence[Any] = REQUIRED, *, max_items: int | None = None) -> list["Fields"]:
        items = self.items(name, default, max_items=max_items)
        if not all(isinstance(item, dict) for item in items):
            raise self._fault(name, "an array of objects")
        return [Fields(item, f"{self._where}{name}[{at}].") for at, item in enumerate(items)]

    def texts(self, name: str, default: Sequence[str] = REQUIRED, *, max_items: int | None = None) -> list[str]:
        """An array of texts; in a query, all values of a parameter that may be repeated."""
        return [self._as_text(name, item, None) for item in self.items(name, default, max_items=max_items)]

    def all_parsed(
        self, name: str, kind: type[P], default: Sequence[str] = REQUIRED, *, max_items: int | None = None
    ) -> list[P]:
        return [self._parse(name, kind, text) for text in self.texts(name, default, max_items=max_items)]

    def _get(self, name: str) -> Any:
        return self.raw.get(name)

    def _or_default(self, name: str, value: T | None, default: T) -> T:
        if value is not None:
            return value
        if default is REQUIRED:
            raise MissingParam(self._where + name)
        return default

    def _fault(self, name: str, expected: str) -> MatrixError:
        return BadRequest(f"{self._where}{name} must be {expected}")

    def _as_text(self, name: str, value: Any, max_bytes: int | None) -> str:
        if not isinstance(value, str):
            raise self._fault(name, "a string")
        if "\x00" in value:
            raise InvalidParam(f"{self._where}{name} must not contain NUL")
        if max_bytes is not None and len(value.encode()) > max_bytes:
            raise InvalidParam(f"{self._where}{name} is longer than {max_bytes} bytes")
        return value

    def _as_integer(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._fault(name, "an integer")
        return value

    def _as_boolean(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._fault(name, "a boolean")
        return value

    def _parse(self, name: str, kind: type[P], text: str) -> P:
        try:
            return kind.parse(text)
        except BadIdentifier as error:
            raise InvalidParam(f"{self._where}{name}: {error}") from error


class Query(Fields):
    """The parameters of a query string; `raw` maps each name to its values. Of a repeated one the first counts."""

    __slots__ = ()

    @classmethod
    def decode(cls, query: bytes) -> Self:
        """Raises: InvalidParam for what is not UTF-8."""
        values: dict[str, list[str]] = {}
        for pair in query.split(b"&"):
            if pair:
                name, _, value = pair.partition(b"=")
                values.setdefault(_unquote(name), []).append(_unquote(value))
        return cls(values)

    def items(self, name: str, default: Sequence[Any] = REQUIRED, *, max_items: int | None = None) -> list[Any]:
        values = self._or_default(name, self.raw.get(name), default)
        if max_items is not None and len(values) > max_items:
            raise InvalidParam(f"{name} is given more than {max_items} times")
        return list(values)

    def optional_object(self, name: str) -> Fields | None:
        raise TypeError("a query has no objects")

    def _get(self, name: str) -> Any:
        values = self.raw.get(name)
        return values[0] if values else None

    def _fault(self, name: str, expected: str) -> MatrixError:
        return InvalidParam(f"{name} must be {expected}")

    def _as_integer(self, name: str, value: Any) -> int:
        if not _INTEGER.fullmatch(value):
            raise self._fault(name, "an integer")
        return int(value)

    def _as_boolean(self, name: str, value: Any) -> bool:
        if value not in ("true", "false"):
            raise self._fault(name, "true or false")
        return bool(value == "true")


def _unquote(text: bytes) -> str:
    if b"%" not in text and b"+" not in text:
        return _decode(text)
    return _unquote_again(text) if len(text) <= _MAX_REMEMBERED_BYTES else _decode(_unquoted(text))


@lru_cache(1_000)
def _unquote_again(text: bytes) -> str:
    """Clients say the same with each request: a filter in full, their room's id."""
    return _decode(_unquoted(text))


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidParam("The query is not UTF-8") from error
