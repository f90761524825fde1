"""Discord's Markdown by lines: quotes, headings, small print, lists; between them whatever `inline` reads."""

import re

from appservice.bridges.discord.formatting.inline import CODE_BLOCK, MAX_DEPTH, read_line
from appservice.bridges.discord.formatting.tree import (
    CustomEmoji,
    Item,
    Link,
    List,
    Mention,
    Named,
    Node,
    Styled,
    Tree,
)

# The longest text that Discord takes anywhere is 4096 (an embed's); whatever is longer is not from there.
MAX_LENGTH = 20_000
MESSAGE_LINK = re.compile(
    r"https?://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/channels/(?:\d+|@me)/(\d{1,20})/(\d{1,20})/?$"
)

_HEADING = re.compile(r"(#{1,3})[ \t]+(\S[^\n]*)")
_SMALL = re.compile(r"-#[ \t]+(\S[^\n]*)")
_ITEM = re.compile(r"( {0,40})(?:[-*]|(\d{1,9})\.)[ \t]+(\S[^\n]*)")


def parse(text: str) -> Tree:
    """The whole text as a tree."""
    return tuple(_blocks(text[:MAX_LENGTH].replace("\r\n", "\n")))


def _blocks(text: str, *, is_quoted: bool = False) -> list[Node]:
    nodes: list[Node] = []
    at = plain = 0
    while at < len(text):
        block, end = _block_at(text, at, is_quoted=is_quoted)
        if block is None:
            at = _line_end(text, at)
            continue
        nodes += _plain(text[plain:at])
        nodes.append(block)
        at = plain = end
    return nodes + _plain(text[plain:], is_last=True)


def _plain(text: str, *, is_last: bool = False) -> list[Node]:
    """Lines between blocks; the end of the one before a block is the block's own."""
    return list(read_line(text if is_last else text.removesuffix("\n"))) if text else []


def _line_end(text: str, at: int) -> int:
    """The beginning of the next line; a code block that begins in this one belongs to it."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end + 1
    fence = text.find("```", at, end)
    block = CODE_BLOCK.match(text, fence) if fence >= 0 else None
    return block.end() if block is not None else end


def _block_at(text: str, at: int, *, is_quoted: bool) -> tuple[Node | None, int]:
    """The block that begins at this beginning of a line, and where it ends."""
    if at and text[at - 1] != "\n":
        return None, at
    # A quote in a quote is none, at Discord.
    if not is_quoted and text.startswith(">>> ", at):
        return Styled("quote", tuple(_blocks(text[at + 4 :], is_quoted=True))), len(text)
    if not is_quoted and text.startswith("> ", at):
        return _quote(text, at)
    for pattern, style in ((_HEADING, "heading"), (_SMALL, "small")):
        match = pattern.match(text, at)
        if match is not None:
            name = f"heading{len(match[1])}" if style == "heading" else style
            children = read_line(match[match.lastindex or 1].rstrip())
            return Styled(name, children), min(match.end() + 1, len(text))
    return _list(text, at)


def _quote(text: str, at: int) -> tuple[Node, int]:
    lines: list[str] = []
    while text.startswith("> ", at) or (lines and text.startswith(">\n", at)):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        lines.append(text[at + 2 : end])
        at = min(end + 1, len(text))
        if at == len(text):
            break
    return Styled("quote", tuple(_blocks("\n".join(lines), is_quoted=True))), at


def _list(text: str, at: int) -> tuple[Node | None, int]:
    rows = []
    while (match := _ITEM.match(text, at)) is not None:
        rows.append((len(match[1]), match[2], match[3].rstrip()))
        at = min(match.end() + 1, len(text))
        if at == len(text):
            break
    if not rows:
        return None, at
    found, _ = _nested(rows, 0, rows[0][0], 0)
    return found, at


def _nested(rows: list[tuple[int, str | None, str]], at: int, indent: int, depth: int) -> tuple[List, int]:
    """The list whose items are indented by so much, with lists of deeper ones below their items."""
    start = rows[at][1]
    items: list[Item] = []
    while at < len(rows) and rows[at][0] >= indent:
        if rows[at][0] >= indent + 2 and items and depth < MAX_DEPTH:
            inner, at = _nested(rows, at, rows[at][0], depth + 1)
            items[-1] = Item((*items[-1].children, inner))
        else:
            items.append(Item(read_line(rows[at][2])))
            at += 1
    return List(tuple(items), None if start is None else int(start)), at


def named_in(tree: Tree) -> Named:
    """Whom and what the text names, for looking it up."""
    found: dict[str, dict[object, None]] = {"user": {}, "role": {}, "channel": {}, "emoji": {}, "message": {}}
    _collect(tree, found)
    return Named(
        users=tuple(map(str, found["user"])),
        roles=tuple(map(str, found["role"])),
        channels=tuple(map(str, found["channel"])),
        emoji=tuple(each for each in found["emoji"] if isinstance(each, CustomEmoji)),
        messages=tuple(each for each in found["message"] if isinstance(each, tuple)),
    )


def _collect(nodes: Tree, found: dict[str, dict[object, None]]) -> None:
    for node in nodes:
        if isinstance(node, Mention) and node.kind in found:
            found[node.kind][node.id] = None
        elif isinstance(node, CustomEmoji):
            found["emoji"][node] = None
        elif isinstance(node, Link):
            match = MESSAGE_LINK.match(node.url)
            if match is not None:
                found["message"][(match[1], match[2])] = None
            _collect(node.children, found)
        elif isinstance(node, Styled):
            _collect(node.children, found)
        elif isinstance(node, List):
            for item in node.items:
                _collect(item.children, found)
