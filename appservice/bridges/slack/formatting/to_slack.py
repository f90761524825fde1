"""Nodes -> what Slack is sent: mrkdwn text, and rich_text blocks where the text alone would not say it.

Rich text has no escapes and no rules about word borders, so what is formatted goes that way; the text stands for it in
notifications. Source: docs.slack.dev, "Rich text block", "Formatting message text".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import evolve, frozen

from appservice.bridges.slack.formatting.nodes import (
    BOLD,
    CODE,
    ITALIC,
    STRIKE,
    Block,
    Code,
    Divider,
    Document,
    EmojiRun,
    Everyone,
    Group,
    Heading,
    Inline,
    Item,
    Items,
    Line,
    Link,
    Paragraph,
    Person,
    Picture,
    Quote,
    Room,
    Run,
)

JsonDict = dict[str, Any]

# An edit takes 4,000 characters of text, so no message is longer: what does not fit goes into further messages.
MAX_PIECE = 3_800
# In a text without styles these would be taken for markup.
_MARKUP = re.compile(r"[*_~`:•]|^\s*&gt;|^\s*\d+\.", re.MULTILINE)
_MARKS = ((CODE, "`"), (BOLD, "*"), (ITALIC, "_"), (STRIKE, "~"))


@frozen
class Piece:
    """One message of Slack. `blocks` is None, where the text says it all."""

    text: str
    blocks: list[JsonDict] | None = None


def pieces(document: Document) -> list[Piece]:
    """At least one; what is too long is cut between blocks, lines, and in need words."""
    return [_piece(part) for part in split(document)] or [Piece("")]


def _piece(document: Document) -> Piece:
    text = mrkdwn(document)
    if all(isinstance(block, Paragraph) and not _is_styled(block.inlines) for block in document) and not (
        _MARKUP.search(_bare(document))
    ):
        return Piece(text)
    return Piece(text, [{"type": "rich_text", "elements": list(_rich_elements(document))}])


def _is_styled(line: Line) -> bool:
    return any(inline.styles for inline in line)


def _bare(document: Document) -> str:
    """The text that people wrote, escaped; without mentions, links and emoji."""
    runs = [run for block in document if isinstance(block, Paragraph) for run in block.inlines if isinstance(run, Run)]
    return "\n".join(escape(run.text) for run in runs)


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# As mrkdwn


def mrkdwn(document: Document) -> str:
    return "\n".join(_text_block(block) for block in document)


def _text_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return text_line(block.inlines)
    if isinstance(block, Heading):
        return text_line(_bold(block.inlines))
    if isinstance(block, Items):
        return "\n".join(
            "    " * item.indent + (f"{item.number}. " if item.is_ordered else "• ") + text_line(item.inlines)
            for item in block.items
        )
    if isinstance(block, Code):
        return f"```\n{escape(block.text)}\n```"
    if isinstance(block, Quote):
        return "\n".join(f">{line}" for line in mrkdwn(block.blocks).split("\n"))
    if isinstance(block, Picture):
        return f"<{escape(block.url)}|{escape(block.alt)}>"
    return "———"


def text_line(line: Line) -> str:
    return "".join(_text_inline(inline) for inline in line)


def _text_inline(inline: Inline) -> str:
    text = _BARE[type(inline)](inline)
    if not inline.styles or not text.strip():
        return text
    # A mark must touch what it marks, and does not reach over a line break.
    return "\n".join(_marked(part, inline) for part in text.split("\n"))


def _marked(text: str, inline: Inline) -> str:
    inner = text.strip()
    if not inner:
        return text
    before, _, after = text.partition(inner)
    marks = [mark for style, mark in _MARKS if style in inline.styles]
    for mark in marks:
        inner = f"{mark}{inner}{mark}"
    return before + inner + after


def _text_link(link: Link) -> str:
    url = escape(link.url).replace("|", "%7C")
    return f"<{url}|{escape(link.text)}>" if link.text and link.text != link.url else f"<{url}>"


_BARE: dict[type, Callable[[Any], str]] = {
    Run: lambda run: escape(run.text),
    Link: _text_link,
    Person: lambda person: f"<@{person.id}>",
    Room: lambda room: f"<#{room.id}>",
    Group: lambda group: f"<!subteam^{group.id}>",
    Everyone: lambda everyone: f"<!{everyone.range}>",
    EmojiRun: lambda emoji: emoji.unicode or f":{emoji.name}:",
}


def _bold(line: Line) -> Line:
    return tuple(evolve(inline, styles=inline.styles | {BOLD}) for inline in line)


# As rich text


def _rich_elements(document: Iterable[Block], border: int = 0) -> Iterator[JsonDict]:
    """Blocks one below the other: a section that follows another one begins on a new line of itself."""
    blocks = list(document)
    for number, block in enumerate(blocks):
        follows = number + 1 < len(blocks) and isinstance(blocks[number + 1], Paragraph | Heading | Picture | Divider)
        yield from _rich_block(block, "\n" if follows else "", border)


def _rich_block(block: Block, end: str, border: int) -> Iterator[JsonDict]:
    if isinstance(block, Items):
        yield from _rich_lists(block, border)
    elif isinstance(block, Code):
        code: JsonDict = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": block.text or " "}]}
        yield code | ({"border": 1} if border else {})
    elif isinstance(block, Quote):
        yield from _rich_quote(block)
    else:
        kind = "rich_text_quote" if border else "rich_text_section"
        elements = _rich_line(_as_line(block))
        # In a quote each paragraph is an element of its own.
        elements += [{"type": "text", "text": end}] if end and not border else []
        yield {"type": kind, "elements": elements}


def _as_line(block: Block) -> Line:
    if isinstance(block, Heading):
        return _bold(block.inlines)
    if isinstance(block, Picture):
        return (Link(block.url, block.alt),)
    return block.inlines if isinstance(block, Paragraph) else (Run("———"),)


def _rich_quote(block: Quote) -> Iterator[JsonDict]:
    """Slack's quotes hold text only; lists and code in them have a border. A quote in a quote is the same quote."""
    line: list[Inline] = []
    for inner in _unquoted(block.blocks):
        if isinstance(inner, Items | Code):
            if line:
                yield {"type": "rich_text_quote", "elements": _rich_line(tuple(line))}
                line = []
            yield from _rich_block(inner, "", 1)
        else:
            line += [Run("\n"), *_as_line(inner)] if line else [*_as_line(inner)]
    if line:
        yield {"type": "rich_text_quote", "elements": _rich_line(tuple(line))}


def _unquoted(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Quote):
            yield from _unquoted(block.blocks)
        else:
            yield block


def _rich_lists(block: Items, border: int) -> Iterator[JsonDict]:
    """One element for each run of items of the same indent and kind."""
    current: JsonDict | None = None
    for item in block.items:
        style = "ordered" if item.is_ordered else "bullet"
        if current is None or (current["indent"], current["style"]) != (min(item.indent, 8), style):
            if current is not None:
                yield current
            current = {"type": "rich_text_list", "style": style, "indent": min(item.indent, 8), "elements": []}
            current |= {"border": 1} if border else {}
            current |= {"offset": item.number - 1} if item.is_ordered and item.number > 1 else {}
        current["elements"].append({"type": "rich_text_section", "elements": _rich_line(item.inlines)})
    if current is not None:
        yield current


def _rich_line(line: Line) -> list[JsonDict]:
    elements = []
    for inline in line:
        element = _RICH[type(inline)](inline)
        # Slack knows no underlined text; it refuses styles that it does not know.
        styles = {style: True for style, _ in _MARKS if style in inline.styles}
        elements.append(element | ({"style": styles} if styles else {}))
    return elements or [{"type": "text", "text": " "}]


def _rich_link(link: Link) -> JsonDict:
    return {"type": "link", "url": link.url} | ({"text": link.text} if link.text and link.text != link.url else {})


def _rich_emoji(emoji: EmojiRun) -> JsonDict:
    return {"type": "text", "text": emoji.unicode} if emoji.unicode else {"type": "emoji", "name": emoji.name}


_RICH: dict[type, Callable[[Any], JsonDict]] = {
    Run: lambda run: {"type": "text", "text": run.text},
    Link: _rich_link,
    Person: lambda person: {"type": "user", "user_id": person.id},
    Room: lambda room: {"type": "channel", "channel_id": room.id},
    Group: lambda group: {"type": "usergroup", "usergroup_id": group.id},
    Everyone: lambda everyone: {"type": "broadcast", "range": everyone.range},
    EmojiRun: _rich_emoji,
}


# What is too long


def split(document: Document, limit: int = MAX_PIECE) -> list[Document]:
    """Parts whose text is not longer than `limit`."""
    parts: list[list[Block]] = [[]]
    room = limit
    for block in (small for each in document for small in _small_blocks(each, limit)):
        size = len(_text_block(block)) + 1
        if size > room and parts[-1]:
            parts.append([])
            room = limit
        parts[-1].append(block)
        room -= size
    return [tuple(part) for part in parts if part]


def _small_blocks(block: Block, limit: int) -> Iterator[Block]:
    """The block, or several that say the same, each within the limit."""
    if len(_text_block(block)) < limit:
        yield block
    elif isinstance(block, Quote):
        for inner in _unquoted(block.blocks):
            yield from (Quote((small,)) for small in _small_blocks(inner, limit * 3 // 4))
    elif isinstance(block, Items):
        for item in block.items:
            yield from (Items((small,)) for small in _small_items(item, limit))
    elif isinstance(block, Code):
        yield from (Code(text, block.language) for text in _chunks(block.text, limit // 5))
    else:
        yield from (Paragraph(line) for line in _small_lines(_as_line(block), limit))


def _small_items(item: Item, limit: int) -> Iterator[Item]:
    for line in _small_lines(item.inlines, limit - 100):
        yield evolve(item, inlines=line)


def _small_lines(line: Line, limit: int) -> Iterator[Line]:
    """Escapes make a character five, marks are a few more: runs are cut at a fifth, then gathered again."""
    current: list[Inline] = []
    room = limit
    for inline in (small for each in line for small in _small_inlines(each, limit)):
        size = len(_text_inline(inline))
        if size > room and current:
            yield tuple(current)
            current, room = [], limit
        current.append(inline)
        room -= size
    if current:
        yield tuple(current)


def _small_inlines(inline: Inline, limit: int) -> Iterator[Inline]:
    if isinstance(inline, Run):
        yield from (evolve(inline, text=text) for text in _chunks(inline.text, limit // 6))
    elif isinstance(inline, Link) and len(_text_inline(inline)) > limit:
        yield from (Run(text, inline.styles) for text in _chunks(inline.text or inline.url, limit // 6))
    else:
        yield inline


def _chunks(text: str, limit: int) -> Iterator[str]:
    """Cut after a line break if there is one, else after a space, else anywhere."""
    while len(text) > limit:
        at = max(text.rfind("\n", 0, limit), 0) or max(text.rfind(" ", 0, limit), 0) or limit - 1
        yield text[: at + 1]
        text = text[at + 1 :]
    if text:
        yield text
