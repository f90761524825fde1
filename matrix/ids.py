"""Identifiers: `str` subclasses, so that below the edge mypy knows a user id from a room id.

`UserId("@a:b")` trusts its argument; `UserId.parse(text)` checks the grammar and is what an edge calls.

Source: appendices, "Identifier Grammar".
"""

import re
from typing import ClassVar, Self

# Every identifier is at most 255 bytes, sigil and domain included: appendices, "Common Identifier Format".
MAX_BYTES = 255

_SERVER_NAME = re.compile(
    r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::\d{1,5})?",
    re.ASCII,
)
# "Any legal non-surrogate Unicode code points except for : and NUL": a room alias, and a user id of old.
_OPAQUE = re.compile(r"[^:\x00\ud800-\udfff]*")
_DOMAINLESS = re.compile(r"[^\x00\ud800-\udfff]+")
_NEW_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


class BadIdentifier(ValueError):
    """The text does not follow the grammar of its kind of identifier."""


class ServerName(str):
    """A server's name: a DNS name, an IPv4 or a bracketed IPv6 literal, with an optional port."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not text or len(text) > MAX_BYTES or not _SERVER_NAME.fullmatch(text):
            raise BadIdentifier(f"{text[:80]!r} is not a server name")
        return cls(text)


class _Sigiled(str):
    """`<sigil>localpart:domain`."""

    __slots__ = ()
    SIGIL: ClassVar[str]
    KIND: ClassVar[str]

    @property
    def localpart(self) -> str:
        return self[1:].partition(":")[0]

    @property
    def domain(self) -> ServerName:
        return ServerName(self.partition(":")[2])

    @classmethod
    def parse(cls, text: str) -> Self:
        sigil, (localpart, _, domain) = text[:1], text[1:].partition(":")
        if sigil != cls.SIGIL or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise BadIdentifier(f"{text[:80]!r} is not a {cls.KIND}")
        cls._check(text, localpart, domain)
        return cls(text)

    @classmethod
    def _check(cls, text: str, localpart: str, domain: str) -> None:
        if not _OPAQUE.fullmatch(localpart) or not _SERVER_NAME.fullmatch(domain):
            raise BadIdentifier(f"{text[:80]!r} is not a {cls.KIND}")


class UserId(_Sigiled):
    """`@localpart:domain`. Historical localparts are accepted, the empty one too; see `is_new_localpart` for our own.

    Source: appendices, "Historical User IDs".
    """

    __slots__ = ()
    SIGIL, KIND = "@", "user id"


class RoomAlias(_Sigiled):
    """`#localpart:domain`."""

    __slots__ = ()
    SIGIL, KIND = "#", "room alias"

    @classmethod
    def _check(cls, text: str, localpart: str, domain: str) -> None:
        if not localpart:
            raise BadIdentifier(f"{text[:80]!r} is not a room alias")
        super()._check(text, localpart, domain)


class RoomId(_Sigiled):
    """`!opaque:domain`, or from room version 12 on `!` and the hash of the create event, without a domain."""

    __slots__ = ()
    SIGIL, KIND = "!", "room id"

    @classmethod
    def _check(cls, text: str, localpart: str, domain: str) -> None:
        if not _DOMAINLESS.fullmatch(text, 1):
            raise BadIdentifier(f"{text[:80]!r} is not a room id")


class EventId(_Sigiled):
    """`$opaque:domain` in room versions 1 and 2, `$hash` from 3 on."""

    __slots__ = ()
    SIGIL, KIND = "$", "event id"

    @classmethod
    def _check(cls, text: str, localpart: str, domain: str) -> None:
        if not _DOMAINLESS.fullmatch(text, 1):
            raise BadIdentifier(f"{text[:80]!r} is not an event id")


class DeviceId(str):
    """A device's id: opaque."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _DOMAINLESS.fullmatch(text) or len(text.encode()) > MAX_BYTES:
            raise BadIdentifier("not a device id")
        return cls(text)


def is_new_localpart(localpart: str) -> bool:
    """May a new user of ours be called so? The strict grammar. Source: appendices, "User Identifiers"."""
    return _NEW_LOCALPART.fullmatch(localpart) is not None
