"""Globs compiled to functions of a text: `*` for any characters, `?` for exactly one.

A user chooses the pattern and another the text, so neither may make it slow. A regular expression of several `.*`
takes the power of their number. Here the pattern is cut at its stars into pieces of fixed length, and each piece is
looked for from where the one before ended: the first place is as good as any later one, since a star takes what lies
between. So the work is at most the product of the two lengths.

Source: appendices, "Glob-style matching".
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

Matcher = Callable[[str], bool]

# Not in the middle of a word, for a piece that starts or ends here. As in Synapse the border between a letter and
# another character counts too, so that "@room" is found in "to:@room"; the letters are those of the specification.
_EDGE = r"(?:(?<![A-Za-z0-9_])|(?![A-Za-z0-9_]))"

# The patterns of some thousand users who have rules of their own.
_KEPT = 8192


@lru_cache(_KEPT)
def whole(pattern: str) -> Matcher:
    """Does the pattern match the whole of a text? Case is ignored; give the text in lower case."""
    first, *rest = _pieces(pattern.lower())
    if not rest:
        literal = pattern.lower()
        return literal.__eq__ if "?" not in literal else _fixed(first)
    *middle, last = map(_compile, rest)
    last_length = len(_pieces(pattern.lower())[-1])
    start = _compile(first)

    def matches(text: str) -> bool:
        found = start.match(text)
        at = _skip(middle, text, found.end()) if found else -1
        return 0 <= at <= len(text) - last_length and last.match(text, len(text) - last_length) is not None

    return matches


@lru_cache(_KEPT)
def stars(pattern: str) -> Matcher:
    """As `whole`, but with case, and with `*` alone as a wildcard. Source: client-server API, "EventFilter"."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern.__eq__
    *middle, last = rest

    def matches(text: str) -> bool:
        at = len(first)
        if not text.startswith(first):
            return False
        for piece in middle:
            found = text.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return at <= len(text) - len(last) and text.endswith(last)

    return matches


@lru_cache(_KEPT)
def words(pattern: str) -> Matcher:
    """Does the pattern match a part of a text that starts and ends at a word's border? Give the text in lower case.

    Source: client-server API, "Push Rules", "Conditions".
    """
    first, *rest = _pieces(pattern.lower())
    if not rest:
        return _one_word(first)
    # A piece that is empty stands at a star at the pattern's start or end, which reaches the border of the text.
    start = re.compile(_EDGE + _regex(first) if first else "", re.DOTALL)
    *middle, final = rest
    inner = [_compile(piece) for piece in middle]
    last = re.compile(_regex(final) + _EDGE if final else "", re.DOTALL)

    def matches(text: str) -> bool:
        found = start.search(text)
        at = _skip(inner, text, found.end()) if found else -1
        return at >= 0 and last.search(text, at) is not None

    return matches


def contains_word(text: str, word: str) -> bool:
    """Is this very text in there, starting and ending at a word's border? Give both in lower case."""
    return word in text and _literal_word(word).search(text) is not None


@lru_cache(_KEPT)
def _literal_word(word: str) -> re.Pattern[str]:
    return re.compile(_EDGE + re.escape(word) + _EDGE)


def _one_word(piece: str) -> Matcher:
    if "?" not in piece:
        return lambda text: contains_word(text, piece)
    search = re.compile(_EDGE + _regex(piece) + _EDGE, re.DOTALL).search
    return lambda text: search(text) is not None


def _fixed(piece: str) -> Matcher:
    fullmatch = _compile(piece).fullmatch
    return lambda text: fullmatch(text) is not None


def _skip(pieces: Sequence[re.Pattern[str]], text: str, at: int) -> int:
    """Where the last of the pieces ends, each looked for after the one before; -1 if one is not there."""
    for piece in pieces:
        found = piece.search(text, at)
        if found is None:
            return -1
        at = found.end()
    return at


def _pieces(pattern: str) -> list[str]:
    """The parts between the stars; the first and the last may be empty, no other."""
    return re.sub(r"\*+", "*", pattern).split("*")


def _compile(piece: str) -> re.Pattern[str]:
    return re.compile(_regex(piece), re.DOTALL)


def _regex(piece: str) -> str:
    # A run of `?` as one repetition: a pattern of thousands of dots would be slow to compile.
    parts = re.split(r"(\?+)", piece)
    return "".join(f".{{{len(part)}}}" if part.startswith("?") else re.escape(part) for part in parts)
