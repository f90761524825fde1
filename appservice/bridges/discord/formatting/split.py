"""Long texts in pieces that Discord takes: 2000 characters each."""

import re

LIMIT = 2000

_FENCE = re.compile(r"^[ \t]*```([A-Za-z0-9_+\-.#]*)", re.MULTILINE)
# What must stay whole: mentions, emoji, addresses.
_WHOLE = re.compile(r"<[@#:a/t][^<>\s]{0,120}>|https?://\S{1,500}|\\.")


def split(text: str, limit: int = LIMIT) -> list[str]:
    """At ends of paragraphs, else of lines, else of words; a code block that is cut goes on as one in the next piece.

    Never an empty piece; nothing at all of an empty text.
    """
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > limit:
        # Room for the fence that may have to be closed.
        end = _end(rest, limit - 4)
        piece, rest = rest[:end].rstrip(), rest[end:].lstrip("\n")
        language = _open_fence(piece)
        if language is not None:
            piece, rest = f"{piece}\n```", f"```{language}\n{rest}"
        else:
            rest = rest.lstrip()
        if piece:
            pieces.append(piece)
    return [*pieces, rest] if rest else pieces


def _end(text: str, most: int) -> int:
    """Where to cut; in the last third if there is a good place."""
    least = most * 2 // 3
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, least, most)
        if found > 0:
            return found
    for match in _WHOLE.finditer(text, max(0, most - 520), most + 520):
        if match.start() < most < match.end() and match.start() > 0:
            return match.start()
    return most


def _open_fence(piece: str) -> str | None:
    """The language of the code block that the piece ends in, if it does."""
    language: str | None = None
    for match in _FENCE.finditer(piece):
        language = match[1] if language is None else None
    return language
