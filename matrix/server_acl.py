"""May this server take part in this room? The room's server access control list.

Source: client-server API, "Server Access Control Lists (ACLs) for rooms", `m.room.server_acl`; appendices, "Glob-style
matching".
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen

_PORT = re.compile(r":[0-9]{1,5}\Z")
_WILD = re.compile(r"[*?]")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")

# The lists of a few hundred busy rooms; an event has room for at most some 10,000 patterns.
_KEPT = 512


def allowed(content: Mapping[str, Any] | None, server_name: str) -> bool:
    """Does the content of m.room.server_acl admit the server? None: the room has no such event.

    What is of the wrong type in the content counts as absent, so a list that is none admits nobody.
    """
    if content is None:
        return True
    host = _PORT.sub("", server_name)
    if content.get("allow_ip_literals") is False and _is_ip_literal(host):
        return False
    if _matches(content.get("deny"), host):
        return False
    return _matches(content.get("allow"), host)


def _is_ip_literal(host: str) -> bool:
    return host.startswith("[") or _IPV4.fullmatch(host) is not None


def _matches(globs: Any, host: str) -> bool:
    if not isinstance(globs, list):
        return False
    return _sorted_globs(tuple(glob for glob in globs if isinstance(glob, str))).match(host.lower())


@frozen
class _Globs:
    """The patterns by the cost of trying them: nearly all in use are plain names, or `*.` and a name."""

    names: frozenset[str]
    suffixes: frozenset[str]  # with the dot
    others: tuple[str, ...]

    def match(self, host: str) -> bool:
        if host in self.names:
            return True
        if self.suffixes and any(host[at:] in self.suffixes for at, c in enumerate(host) if c == "."):
            return True
        return any(matches_glob(glob, host) for glob in self.others)


@lru_cache(_KEPT)
def _sorted_globs(globs: tuple[str, ...]) -> _Globs:
    lowered = {re.sub(r"\*+", "*", glob.lower()) for glob in globs}
    names = frozenset(glob for glob in lowered if not _WILD.search(glob))
    suffixes = frozenset(glob[1:] for glob in lowered if glob.startswith("*.") and not _WILD.search(glob, 1))
    others = (g for g in lowered if g not in names and not (g.startswith("*") and g[1:] in suffixes))
    return _Globs(names=names, suffixes=suffixes, others=tuple(sorted(others)))


def matches_glob(pattern: str, text: str) -> bool:
    """Does `pattern`, with `*` for any characters and `?` for one, match the whole text?

    Not by a regular expression, which a pattern of many stars makes take exponential time: this is at most the product
    of the lengths.
    """
    at, mark = 0, 0
    place, star = 0, -1
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return all(character == "*" for character in pattern[place:])
