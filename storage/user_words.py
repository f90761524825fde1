"""The words by which users are found: of their display names and ids, case and accents of width aside.

Scripts that are written without spaces are taken letter by letter: one finds a name by any run of its characters.
"""

import re
import unicodedata

# What a display name of the allowed length can have; a longer text is not searched for more words than that.
MAX_WORDS = 64
MAX_WORD_CHARACTERS = 100

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
# Which part of a user a word is of. Source: PostgreSQL, "setweight".
_LOCALPART, _NAME, _DOMAIN = "A", "B", "D"


def words(text: str) -> list[str]:
    """The words of a text, in their order."""
    folded = unicodedata.normalize("NFKC", text[:2048]).casefold()
    return [word[:MAX_WORD_CHARACTERS] for word in _WORD.findall(folded)[:MAX_WORDS]]


def vector(user_id: str, display_name: str | None) -> str:
    """The text of PostgreSQL's tsvector of a user."""
    localpart, _, domain = user_id[1:].partition(":")
    weighed = [(word, _LOCALPART) for word in words(localpart)]
    weighed += [(word, _NAME) for word in words(display_name or "")]
    weighed += [(word, _DOMAIN) for word in words(domain)]
    return " ".join(f"'{word}':{place}{weight}" for place, (word, weight) in enumerate(weighed, 1))


def query(term: str, *, by_prefix: bool) -> str:
    """The text of PostgreSQL's tsquery for all words of a term; empty if it has none."""
    suffix = ":*" if by_prefix else ""
    return " & ".join(f"'{word}'{suffix}" for word in dict.fromkeys(words(term)))
