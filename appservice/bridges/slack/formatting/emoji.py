"""Slack's names of emoji, and the characters."""

import functools
import importlib.resources
import re

_VARIATION = "️"
_TONES = {f"skin-tone-{number}": chr(0x1F3FB + number - 2) for number in range(2, 7)}
_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")


def unicode_of(name: str) -> str | None:
    """The character; `thumbsup::skin-tone-3` too. None for custom ones."""
    base, _, tone = name.partition("::")
    character = _tables()[0].get(base)
    if character is None or not tone:
        return character
    modifier = _TONES.get(tone)
    # The tone stands behind the first character, in place of its variation selector.
    return None if modifier is None else character[0] + modifier + character[1:].removeprefix(_VARIATION)


def name_of(character: str) -> str | None:
    """Slack's name of the character. None, if Slack has no such emoji."""
    tone = _TONE.search(character)
    name = _tables()[1].get(_TONE.sub("", character).replace(_VARIATION, ""))
    if name is None or tone is None:
        return name
    return f"{name}::skin-tone-{ord(tone.group()) - 0x1F3FB + 2}"


@functools.cache
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """By name, and by character without variation selectors."""
    text = importlib.resources.files(__package__).joinpath("emoji.tsv").read_text(encoding="utf-8")
    by_name: dict[str, str] = {}
    by_character: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        character, _, names = line.partition("\t")
        by_character[character.replace(_VARIATION, "")] = names.split()[0]
        by_name.update(dict.fromkeys(names.split(), character))
    return by_name, by_character
