"""Slack's rich_text blocks -> nodes. Source: docs.slack.dev, "Rich text block".

Their depth is fixed: a block, its elements, their inline elements. Whatever nests deeper is not looked at.
"""

from collections.abc import Iterator
from typing import Any

from appservice.bridges.slack.formatting.emoji import unicode_of
from appservice.bridges.slack.formatting.nodes import (
    PLAIN,
    Block,
    Code,
    EmojiRun,
    Everyone,
    Group,
    Inline,
    Item,
    Items,
    Line,
    Link,
    Paragraph,
    Person,
    Quote,
    Room,
    Run,
    Styles,
    joined,
    stripped,
)

MAX_ELEMENTS = 2_000
MAX_INDENT = 8
_STYLES = frozenset(["bold", "italic", "strike", "code", "underline"])
_RANGES = frozenset(["here", "channel", "everyone"])


def read(block: dict[str, Any]) -> Iterator[Block]:
    """Neighbouring lists are one: Slack begins another one for each change of indent."""
    items: list[Item] = []
    for element in dicts(block.get("elements")):
        kind = element.get("type")
        if kind == "rich_text_list" and not element.get("border"):
            items += _items(element)
            continue
        if items:
            yield Items(tuple(items))
            items = []
        yield from _element(kind, element)
    if items:
        yield Items(tuple(items))


def dicts(value: Any) -> list[dict[str, Any]]:
    """Those that are objects, of a list that may be anything; not too many."""
    return [each for each in value[:MAX_ELEMENTS] if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _element(kind: Any, element: dict[str, Any]) -> Iterator[Block]:
    if kind == "rich_text_preformatted":
        code = Code("".join(_plain(inline) for inline in inlines(element)), text_of(element.get("language")))
        yield Quote((code,)) if element.get("border") else code
    elif kind == "rich_text_quote":
        yield Quote((Paragraph(stripped(inlines(element))),))
    elif kind == "rich_text_list":
        yield Quote((Items(tuple(_items(element))),))
    elif kind == "rich_text_section":
        line = inlines(element)
        if stripped(line):
            yield Paragraph(_without_last_break(line))


def _items(element: dict[str, Any]) -> list[Item]:
    indent = _whole(element.get("indent"), MAX_INDENT)
    is_ordered = element.get("style") == "ordered"
    first = _whole(element.get("offset"), 1_000_000) + 1
    return [
        Item(stripped(inlines(item)), indent, is_ordered, first + number)
        for number, item in enumerate(dicts(element.get("elements")))
    ]


def inlines(section: dict[str, Any]) -> Line:
    return joined(inline for inline in map(_inline, dicts(section.get("elements"))) if inline is not None)


def _inline(element: dict[str, Any]) -> Inline | None:
    styles = _styles(element.get("style"))
    kind = element.get("type")
    if kind == "text":
        return Run(text_of(element.get("text")), styles)
    if kind == "link":
        return Link(text_of(element.get("url")), text_of(element.get("text")), styles)
    if kind == "emoji":
        return _emoji(element, styles)
    return _mention(kind, element, styles)


def _mention(kind: Any, element: dict[str, Any], styles: Styles) -> Inline | None:
    if kind == "user":
        return Person(text_of(element.get("user_id")), styles=styles)
    if kind == "channel":
        return Room(text_of(element.get("channel_id")), styles=styles)
    if kind == "usergroup":
        return Group(text_of(element.get("usergroup_id")), styles=styles)
    if kind == "broadcast" and element.get("range") in _RANGES:
        return Everyone(element["range"], styles)
    if kind == "color":
        return Run(text_of(element.get("value")), styles)
    if kind == "date":
        return Run(text_of(element.get("fallback")), styles)
    # What is not known may still say something.
    return Run(text_of(element.get("text")), styles) if element.get("text") else None


def _emoji(element: dict[str, Any], styles: Styles) -> EmojiRun:
    name = text_of(element.get("name"))
    tone = element.get("skin_tone")
    if isinstance(tone, int) and 2 <= tone <= 6 and "::" not in name:
        name = f"{name}::skin-tone-{tone}"
    return EmojiRun(name, unicode_of(name), styles)


def _styles(value: Any) -> Styles:
    if not isinstance(value, dict):
        return PLAIN
    return frozenset(name for name in _STYLES if value.get(name) is True)


def _without_last_break(line: Line) -> Line:
    """A section before a list or code ends with a line break that only separates them."""
    last = line[-1]
    if isinstance(last, Run) and last.text.endswith("\n"):
        return joined([*line[:-1], Run(last.text[:-1], last.styles)])
    return line


def _plain(inline: Inline) -> str:
    if isinstance(inline, Run):
        return inline.text
    if isinstance(inline, Link):
        return inline.text or inline.url
    return getattr(inline, "name", "") or getattr(inline, "id", "")


def _whole(value: Any, most: int) -> int:
    return max(0, min(most, value)) if isinstance(value, int) else 0
