"""Matrix HTML -> nodes. Source: client-server API, "m.room.message msgtypes".

The tokenizer is one regular expression without a way back (possessive), so that its time is linear whatever is sent;
tags that nest more deeply than MAX_DEPTH count as text without tags.
"""

import html
import re
from collections.abc import Callable, Mapping

from attrs import define, field, frozen

from appservice.bridges.slack.formatting.nodes import (
    BOLD,
    CODE,
    ITALIC,
    PLAIN,
    STRIKE,
    UNDERLINE,
    Block,
    Code,
    Divider,
    Document,
    EmojiRun,
    Heading,
    Inline,
    Item,
    Items,
    Link,
    Paragraph,
    Quote,
    Run,
    Styles,
    joined,
    stripped,
)

MAX_HTML = 100_000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<close>/)?(?P<name>[a-zA-Z][a-zA-Z0-9-]*+)(?P<attributes>(?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([a-zA-Z][a-zA-Z0-9_-]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++)))?")
_INLINE_STYLES = {
    **dict.fromkeys(["b", "strong"], BOLD),
    **dict.fromkeys(["i", "em"], ITALIC),
    **dict.fromkeys(["s", "del", "strike"], STRIKE),
    "u": UNDERLINE,
    "code": CODE,
    "tt": CODE,
}
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_BREAKS = frozenset(["p", "div", "ul", "ol", "li", "blockquote", "pre", "table", "tr", "hr", "details", *_HEADINGS])
_DROPPED = frozenset(["mx-reply", "script", "style"])
_VOID = frozenset(["br", "hr", "img"])

# A link's address -> what it means on Slack; None, where it means nothing.
Resolve = Callable[[str, str, Styles], Inline | None]


@frozen
class _Tag:
    name: str
    attributes: Mapping[str, str]


@define
class _Builder:
    """What has been read so far. `frames`: the blocks of what is open and holds blocks (the document, quotes)."""

    resolve: Resolve
    emoji: Mapping[str, str]
    frames: list[list[Block]] = field(factory=lambda: [[]])
    line: list[Inline] = field(factory=list)
    tags: list[_Tag] = field(factory=list)
    lists: list[list[int | None]] = field(factory=list)
    items: list[Item] = field(factory=list)
    item: Item | None = None
    link: tuple[str, int] | None = None

    def styles(self) -> Styles:
        found = {_INLINE_STYLES[tag.name] for tag in self.tags if tag.name in _INLINE_STYLES}
        return frozenset(found) if found else PLAIN

    def is_in(self, *names: str) -> bool:
        return any(tag.name in names for tag in self.tags)

    # Text and inline content

    def add_text(self, text: str) -> None:
        if self.is_in(*_DROPPED):
            return
        if not self.is_in("pre"):
            text = re.sub(r"\s+", " ", text)
            if text.startswith(" ") and (not self.line or _ends_with_space(self.line[-1])):
                text = text[1:]
        if text:
            self.line.append(Run(text, self.styles()))

    def add_image(self, attributes: Mapping[str, str]) -> None:
        source, alt = attributes.get("src", ""), attributes.get("alt") or attributes.get("title", "")
        if source in self.emoji:
            self.line.append(EmojiRun(self.emoji[source], None, self.styles()))
        elif alt:
            self.line.append(Run(alt, self.styles()))

    def end_link(self) -> None:
        if self.link is None:
            return
        (url, start), self.link = self.link, None
        inner, self.line = self.line[start:], self.line[:start]
        text = "".join(each.text if isinstance(each, Run | Link) else "" for each in inner)
        styles = inner[0].styles if inner else PLAIN
        meant = self.resolve(url, text, styles)
        if meant is not None:
            self.line.append(meant)
        else:
            self.line += inner

    # Blocks

    def end_line(self) -> None:
        """What was said inline so far is a block of its own, or part of the item that is open."""
        self.end_link()
        line = stripped(joined(self.line))
        self.line = []
        if not line:
            return
        heading = next((tag.name for tag in reversed(self.tags) if tag.name in _HEADINGS), None)
        if self.item is not None:
            before = self.item.inlines
            merged = joined([*before, Run("\n"), *line]) if before else line
            self.item = Item(merged, self.item.indent, self.item.is_ordered, self.item.number)
        elif heading is not None:
            self.add(Heading(line, int(heading[1])))
        else:
            self.add(Paragraph(line))

    def add(self, block: Block) -> None:
        """Slack's lists hold text only: any other block ends the item that it lies in."""
        if not isinstance(block, Paragraph):
            self.end_item()
        self.flush_items()
        self.frames[-1].append(block)

    def end_item(self) -> None:
        self.end_line()
        if self.item is not None and self.item.inlines:
            self.items.append(self.item)
        self.item = None

    def end_list(self) -> None:
        """Of lists in lists the outermost counts."""
        if not self.lists:
            self.flush_items()

    def flush_items(self) -> None:
        if self.items:
            self.frames[-1].append(Items(tuple(self.items)))
            self.items = []


def parse(
    text: str, *, resolve: Resolve = lambda url, text, styles: None, emoji: Mapping[str, str] | None = None
) -> Document:
    """`resolve` makes of a link what it is on Slack; `emoji` are names by mxc."""
    builder = _Builder(resolve=resolve, emoji=emoji or {})
    text = text[:MAX_HTML]
    position = 0
    for token in _TOKEN.finditer(text):
        builder.add_text(html.unescape(text[position : token.start()]))
        position = token.end()
        name = (token.group("name") or "").lower()
        if not name:
            continue
        if token.group("close"):
            _close(builder, name)
        else:
            _open(builder, name, token.group("attributes"))
    builder.add_text(html.unescape(text[position:]))
    while builder.tags:
        _close(builder, builder.tags[-1].name)
    builder.end_item()
    builder.end_list()
    return tuple(builder.frames[0])


def _open(builder: _Builder, name: str, raw: str) -> None:
    if builder.is_in("pre") and name != "br":
        _push_in_code(builder, name, raw)
        return
    if name in _BREAKS and name != "li":
        builder.end_line()
    if name == "br":
        builder.line.append(Run("\n", builder.styles()))
    elif name == "img":
        builder.add_image(_attributes(raw))
    elif name == "hr":
        builder.add(Divider())
    elif len(builder.tags) < MAX_DEPTH:
        _push(builder, name, _attributes(raw))


def _push_in_code(builder: _Builder, name: str, raw: str) -> None:
    """Only its language is of interest; tags in code colour it."""
    if name not in _VOID and len(builder.tags) < MAX_DEPTH:
        builder.tags.append(_Tag(name, _attributes(raw)))


def _push(builder: _Builder, name: str, attributes: Mapping[str, str]) -> None:
    if name in ("ul", "ol"):
        if builder.item is not None:
            # A list within an item: what stood in it so far comes first.
            builder.end_item()
        start = attributes.get("start", "1")
        builder.lists.append([(int(start) if start.isdigit() and len(start) < 7 else 1) if name == "ol" else None])
    elif name == "li":
        _begin_item(builder)
    elif name == "blockquote":
        builder.end_item()
        builder.flush_items()
        builder.frames.append([])
    elif name == "a":
        builder.end_link()
        builder.link = (attributes.get("href", ""), len(builder.line))
    elif name in ("td", "th") and builder.line:
        builder.line.append(Run(" | "))
    builder.tags.append(_Tag(name, attributes))


def _begin_item(builder: _Builder) -> None:
    builder.end_item()
    if not builder.lists:
        builder.lists.append([None])
    numbers = builder.lists[-1]
    number = numbers[0]
    builder.item = Item((), len(builder.lists) - 1, number is not None, number or 1)
    if number is not None:
        numbers[0] = number + 1


def _close(builder: _Builder, name: str) -> None:
    """Closes what is open within it too. A tag that is not open closes nothing."""
    if not builder.is_in(name):
        return
    while True:
        tag = builder.tags[-1]
        _end(builder, tag)
        if tag.name == name:
            return


def _end(builder: _Builder, tag: _Tag) -> None:
    if tag.name == "pre":
        _end_code(builder)
        return
    if tag.name == "a":
        builder.end_link()
    elif tag.name == "li":
        builder.end_item()
    elif tag.name in _BREAKS:
        builder.end_line()
    builder.tags.pop()
    if tag.name in ("ul", "ol"):
        builder.lists.pop()
        builder.end_list()
    elif tag.name == "blockquote":
        _end_quote(builder)


def _end_quote(builder: _Builder) -> None:
    builder.flush_items()
    inner = tuple(builder.frames.pop())
    if inner:
        builder.frames[-1].append(Quote(inner))


def _end_code(builder: _Builder) -> None:
    """All that is open in it is closed with it."""
    text = "".join(inline.text for inline in builder.line if isinstance(inline, Run))
    builder.line = []
    language = ""
    while True:
        tag = builder.tags.pop()
        for word in tag.attributes.get("class", "").split():
            language = word.removeprefix("language-") if word.startswith("language-") else language
        if tag.name == "pre":
            break
    builder.add(Code(text.strip("\n"), language))


def _attributes(raw: str) -> Mapping[str, str]:
    found = {}
    for name, double, single, bare in _ATTRIBUTE.findall(raw[:4000]):
        found[name.lower()] = html.unescape(double or single or bare)
    return found


def _ends_with_space(inline: Inline) -> bool:
    return isinstance(inline, Run) and inline.text[-1:].isspace()
