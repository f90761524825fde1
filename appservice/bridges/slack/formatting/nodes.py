"""What a message is made of, in the words of neither side: blocks of inline runs. Everything goes through these.

Inline styles are flat sets, as Slack has them: bold within italic is a run that is both.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import evolve, frozen

BOLD, ITALIC, STRIKE, CODE, UNDERLINE = "bold", "italic", "strike", "code", "underline"
Styles = frozenset[str]
PLAIN: Styles = frozenset()


@frozen
class Run:
    """Text of one style; line breaks are in the text."""

    text: str
    styles: Styles = PLAIN


@frozen
class Link:
    """`text` empty: the address itself is shown."""

    url: str
    text: str = ""
    styles: Styles = PLAIN


@frozen
class Person:
    """By the network's own id, without the team. `name` is what stands there if the id means nothing."""

    id: str
    name: str = ""
    styles: Styles = PLAIN


@frozen
class Room:
    id: str
    name: str = ""
    styles: Styles = PLAIN


@frozen
class Group:
    """A user group: Matrix has none, its name stands."""

    id: str
    name: str = ""
    styles: Styles = PLAIN


@frozen
class Everyone:
    range: Literal["here", "channel", "everyone"] = "channel"
    styles: Styles = PLAIN


@frozen
class EmojiRun:
    """`unicode`, or a custom one by its name."""

    name: str
    unicode: str | None = None
    styles: Styles = PLAIN


Inline = Run | Link | Person | Room | Group | Everyone | EmojiRun
Line = tuple[Inline, ...]


@frozen
class Paragraph:
    inlines: Line


@frozen
class Heading:
    inlines: Line
    level: int = 3


@frozen
class Item:
    """Of a list; `number` is what stands before it, in an ordered one."""

    inlines: Line
    indent: int = 0
    is_ordered: bool = False
    number: int = 1


@frozen
class Items:
    items: tuple[Item, ...]


@frozen
class Code:
    text: str
    language: str = ""


@frozen
class Quote:
    blocks: "tuple[Block, ...]"


@frozen
class Picture:
    """One that lies elsewhere: it is linked, not shown."""

    url: str
    alt: str = ""


@frozen
class Divider:
    pass


Block = Paragraph | Heading | Items | Code | Quote | Picture | Divider
Document = tuple[Block, ...]


def lines_of(blocks: Iterable[Block]) -> Iterator[Line]:
    """All inline content, in order."""
    for block in blocks:
        if isinstance(block, Paragraph | Heading):
            yield block.inlines
        elif isinstance(block, Items):
            for item in block.items:
                yield item.inlines
        elif isinstance(block, Quote):
            yield from lines_of(block.blocks)


def joined(inlines: Iterable[Inline]) -> Line:
    """Neighbouring runs of the same style as one; empty ones are gone."""
    result: list[Inline] = []
    for inline in inlines:
        last = result[-1] if result else None
        if isinstance(inline, Run):
            if not inline.text:
                continue
            if isinstance(last, Run) and last.styles == inline.styles:
                result[-1] = Run(last.text + inline.text, last.styles)
                continue
        result.append(inline)
    return tuple(result)


def stripped(line: Line) -> Line:
    """Without spaces and line breaks at either end."""
    parts = list(line)
    while parts and isinstance(parts[0], Run) and not parts[0].text.strip():
        parts.pop(0)
    while parts and isinstance(parts[-1], Run) and not parts[-1].text.strip():
        parts.pop()
    if parts and isinstance(parts[0], Run):
        parts[0] = evolve(parts[0], text=parts[0].text.lstrip())
    if parts and isinstance(parts[-1], Run):
        parts[-1] = evolve(parts[-1], text=parts[-1].text.rstrip())
    return tuple(parts)
