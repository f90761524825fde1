"""May this server take part in this room? The room's server access control list.

Source: client-server API, "Server Access Control Lists (ACLs) for rooms", `m.room.server_acl`; appendices, "Glob-style
matching".
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen

from matrix import globs

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


def _matches(patterns: Any, host: str) -> bool:
    if not isinstance(patterns, list):
        return False
    return _sorted_globs(tuple(glob for glob in patterns if isinstance(glob, str))).match(host.lower())


@frozen
class _Globs:
    """The patterns by the cost of trying them: nearly all in use are plain names, or `*.` and a name."""

    names: frozenset[str]
    suffixes: frozenset[str]  # with the dot
    others: tuple[globs.Matcher, ...]

    def match(self, host: str) -> bool:
        if host in self.names:
            return True
        if self.suffixes and any(host[at:] in self.suffixes for at, c in enumerate(host) if c == "."):
            return True
        return any(matches(host) for matches in self.others)


@lru_cache(_KEPT)
def _sorted_globs(patterns: tuple[str, ...]) -> _Globs:
    lowered = {re.sub(r"\*+", "*", glob.lower()) for glob in patterns}
    names = frozenset(glob for glob in lowered if not _WILD.search(glob))
    suffixes = frozenset(glob[1:] for glob in lowered if glob.startswith("*.") and not _WILD.search(glob, 1))
    others = (g for g in lowered if g not in names and not (g.startswith("*") and g[1:] in suffixes))
    return _Globs(names=names, suffixes=suffixes, others=tuple(map(_matcher, others)))


def _matcher(glob: str) -> globs.Matcher:
    # `stars` compiles no regular expression, which for a list of thousands would take a second.
    return globs.whole(glob) if "?" in glob else globs.stars(glob)
