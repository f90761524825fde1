"""Links of Matrix: made, and found in formatted bodies. Pure functions.

Source: appendices, "URIs".
"""

import html
import re
from urllib.parse import quote, unquote

from attrs import frozen

_HREF = re.compile(r"""<a\s[^<>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_EMOTE = re.compile(
    r"""<img\s(?=[^<>]*data-mx-emoticon)[^<>]*?src\s*=\s*(?:"(mxc://[^"]+)"|'(mxc://[^']+)')""", re.IGNORECASE
)
_MATRIX_KINDS = {"u": "@", "r": "#", "roomid": "!"}
# More in one text than anyone writes.
_MAX_FOUND = 200


@frozen
class Link:
    """`target`: a user, room or alias; `event`: an event in that room. `url` as the text has it."""

    url: str
    target: str
    event: str | None = None


def link(target: str, event: str | None = None, via: str | None = None) -> str:
    """A matrix.to address."""
    path = quote(target, safe="") + ("" if event is None else "/" + quote(event, safe=""))
    return f"https://matrix.to/#/{path}" + ("" if via is None else f"?via={quote(via, safe='')}")


def parse(url: str) -> Link | None:
    """A matrix.to address or matrix: URI; None for what is neither."""
    if url.startswith(("https://matrix.to/#/", "http://matrix.to/#/")):
        parts = [unquote(part) for part in url.partition("#/")[2].partition("?")[0].split("/") if part]
    elif url.startswith("matrix:"):
        words = url.removeprefix("matrix:").partition("?")[0].split("/")
        parts = [
            _MATRIX_KINDS.get(kind, "$" if kind == "e" else "") + unquote(text)
            for kind, text in zip(words[::2], words[1::2], strict=False)
        ]
    else:
        return None
    if not parts or parts[0][:1] not in "@#!" or len(parts) > 2:
        return None
    return Link(url, parts[0], parts[1] if len(parts) == 2 else None)


def links_in(formatted: str) -> list[Link]:
    """Of Matrix, each once."""
    found: dict[str, Link] = {}
    for match in _HREF.finditer(formatted):
        url = html.unescape(match[1] or match[2] or "")
        parsed = parse(url)
        if parsed is not None and len(found) < _MAX_FOUND:
            found[url] = parsed
    return list(found.values())


def emotes_in(formatted: str) -> list[str]:
    """mxc URIs of custom emoji, each once."""
    return list(dict.fromkeys(html.unescape(match[1] or match[2]) for match in _EMOTE.finditer(formatted)))[:_MAX_FOUND]
