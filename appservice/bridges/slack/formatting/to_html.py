"""Nodes -> what a Matrix message says: body, formatted_body and whom it mentions.

Source: client-server API, "m.room.message msgtypes" (the HTML that clients show), "User and room mentions".
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from appservice.bridges.slack.formatting.nodes import (
    BOLD,
    CODE,
    ITALIC,
    STRIKE,
    UNDERLINE,
    Block,
    Code,
    Document,
    EmojiRun,
    Everyone,
    Group,
    Heading,
    Inline,
    Items,
    Line,
    Link,
    Paragraph,
    Person,
    Picture,
    Quote,
    Room,
    Run,
    lines_of,
)

_TAGS = ((BOLD, "strong"), (ITALIC, "em"), (STRIKE, "del"), (UNDERLINE, "u"), (CODE, "code"))
# What clients open without harm; others are shown as text.
_SCHEMES = ("http://", "https://", "mailto:", "tel:", "ftp://", "magnet:", "matrix:")
_ARCHIVE = re.compile(r"https://[a-z0-9.-]+\.slack\.com/archives/([A-Z0-9]+)/p(\d{10})(\d{6})")
# An event may hold 64 KiB, and every character may be escaped or be of several bytes.
MAX_BODY = 24_000


@frozen(kw_only=True)
class Names:
    """What Slack's ids mean: `people` (user id, name), `rooms` (link, name), `emoji` mxc by name, `messages` by
    (channel, ts)."""

    people: Mapping[str, tuple[str, str]] = field(factory=dict)
    rooms: Mapping[str, tuple[str, str]] = field(factory=dict)
    emoji: Mapping[str, str] = field(factory=dict)
    messages: Mapping[tuple[str, str], str] = field(factory=dict)


@frozen(kw_only=True)
class Needs:
    """What has to be looked up before the nodes can be shown."""

    people: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    emoji: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()


def needs(document: Document) -> Needs:
    people, rooms, emoji = set(), set(), set()
    messages: set[tuple[str, str]] = set()
    for inline in (inline for line in lines_of(document) for inline in line):
        if isinstance(inline, Person):
            people.add(inline.id)
        elif isinstance(inline, Room):
            rooms.add(inline.id)
        elif isinstance(inline, EmojiRun) and inline.unicode is None:
            emoji.add(inline.name)
        elif isinstance(inline, Link):
            messages.update(_archived(inline.url))
    return Needs(
        people=tuple(sorted(people)),
        rooms=tuple(sorted(rooms)),
        emoji=tuple(sorted(emoji)),
        messages=tuple(sorted(messages)),
    )


def content(document: Document, names: Names) -> dict[str, Any]:
    """`body`, `formatted_body` where it says more, and `m.mentions`. Empty, if there is nothing to say."""
    if not document:
        return {}
    body = _joined(_plain_block(block, names) for block in document)[:MAX_BODY]
    formatted = _html_blocks(document, names)
    result: dict[str, Any] = {"body": body}
    if formatted != html.escape(body, quote=False).replace("\n", "<br>") and len(formatted) <= 2 * MAX_BODY:
        result |= {"format": "org.matrix.custom.html", "formatted_body": formatted}
    mentions = _mentions(document, names)
    return result | ({"m.mentions": mentions} if mentions else {})


def _mentions(document: Document, names: Names) -> dict[str, Any]:
    """Those in quotes are somebody else's words: they call nobody."""
    said = [inline for line in lines_of(b for b in document if not isinstance(b, Quote)) for inline in line]
    user_ids = [names.people[p.id][0] for p in said if isinstance(p, Person) and p.id in names.people]
    mentions: dict[str, Any] = {"user_ids": list(dict.fromkeys(user_ids))} if user_ids else {}
    return mentions | ({"room": True} if any(isinstance(each, Everyone) for each in said) else {})


def _archived(url: str) -> list[tuple[str, str]]:
    found = _ARCHIVE.match(url)
    return [(found[1], f"{found[2]}.{found[3]}")] if found else []


# As HTML


def _html_blocks(blocks: Iterable[Block], names: Names) -> str:
    """A paragraph alone is not wrapped, so that a plain message stays one."""
    all_blocks = list(blocks)
    if len(all_blocks) == 1 and isinstance(all_blocks[0], Paragraph):
        return _html_line(all_blocks[0].inlines, names)
    return "".join(_html_block(block, names) for block in all_blocks)


def _html_block(block: Block, names: Names) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{_html_line(block.inlines, names)}</p>"
    if isinstance(block, Heading):
        return f"<h{block.level}>{_html_line(block.inlines, names)}</h{block.level}>"
    if isinstance(block, Items):
        return _html_list(block, names)
    if isinstance(block, Code):
        language = re.sub(r"[^a-zA-Z0-9+#-]", "", block.language)
        attribute = f' class="language-{language}"' if language else ""
        return f"<pre><code{attribute}>{html.escape(block.text, quote=False)}</code></pre>"
    if isinstance(block, Quote):
        return f"<blockquote>{_html_blocks(block.blocks, names)}</blockquote>"
    if isinstance(block, Picture):
        return f"<p>{_anchor(block.url, block.alt)}</p>"
    return "<hr>"


def _html_list(block: Items, names: Names) -> str:
    """Indents become lists in lists. A deeper list lies in the item before it."""
    out: list[str] = []
    opened: list[tuple[int, str]] = []
    for item in block.items:
        tag = "ol" if item.is_ordered else "ul"
        while opened and (opened[-1][0] > item.indent or opened[-1] == (item.indent, "ul" if tag == "ol" else "ol")):
            out.append(f"</li></{opened.pop()[1]}>")
        if opened and opened[-1][0] == item.indent:
            out.append("</li>")
        else:
            start = f' start="{item.number}"' if item.is_ordered and item.number != 1 else ""
            out.append(f"<{tag}{start}>")
            opened.append((item.indent, tag))
        out.append(f"<li>{_html_line(item.inlines, names)}")
    out += [f"</li></{tag}>" for _, tag in reversed(opened)]
    return "".join(out)


def _html_line(line: Line, names: Names) -> str:
    return "".join(_html_inline(inline, names) for inline in line)


def _html_inline(inline: Inline, names: Names) -> str:
    inner = _html_bare(inline, names)
    for style, tag in reversed(_TAGS):
        if style in inline.styles:
            inner = f"<{tag}>{inner}</{tag}>"
    return inner


def _html_bare(inline: Inline, names: Names) -> str:
    if isinstance(inline, Person) and inline.id in names.people:
        user_id, name = names.people[inline.id]
        return _anchor(f"https://matrix.to/#/{user_id}", name)
    if isinstance(inline, Room) and inline.id in names.rooms:
        return _anchor(*names.rooms[inline.id])
    if isinstance(inline, Link):
        moved = next((names.messages[key] for key in _archived(inline.url) if key in names.messages), inline.url)
        return _anchor(moved, inline.text or moved)
    if isinstance(inline, EmojiRun) and inline.unicode is None and inline.name in names.emoji:
        shown = html.escape(f":{inline.name}:")
        source = html.escape(names.emoji[inline.name])
        return f'<img data-mx-emoticon src="{source}" alt="{shown}" title="{shown}" height="32">'
    return html.escape(_plain_inline(inline, names), quote=False).replace("\n", "<br>")


def _anchor(url: str, text: str) -> str:
    shown = html.escape(text or url, quote=False).replace("\n", "<br>")
    return f'<a href="{html.escape(url)}">{shown}</a>' if url.lower().startswith(_SCHEMES) else shown


# As plain text


def _plain_block(block: Block, names: Names) -> str:
    if isinstance(block, Paragraph | Heading):
        return _plain_line(block.inlines, names)
    if isinstance(block, Items):
        return "\n".join(
            "  " * item.indent + (f"{item.number}. " if item.is_ordered else "• ") + _plain_line(item.inlines, names)
            for item in block.items
        )
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text}\n```"
    if isinstance(block, Quote):
        inner = _joined(_plain_block(each, names) for each in block.blocks)
        return "\n".join(f"> {line}" for line in inner.split("\n"))
    if isinstance(block, Picture):
        return f"{block.alt}: {block.url}" if block.alt else block.url
    return "---"


def _joined(blocks: Iterable[str]) -> str:
    return "\n".join(blocks)


def _plain_line(line: Line, names: Names) -> str:
    return "".join(_plain_inline(inline, names) for inline in line)


def _plain_inline(inline: Inline, names: Names) -> str:
    return _PLAIN[type(inline)](inline, names)


def _plain_link(link: Link, names: Names) -> str:
    url = next((names.messages[key] for key in _archived(link.url) if key in names.messages), link.url)
    text = link.text
    if url == f"mailto:{text}":
        return text
    return url if not text or text == link.url else f"{text} ({url})"


def _plain_person(person: Person, names: Names) -> str:
    known = names.people.get(person.id)
    return known[1] if known else f"@{person.name or person.id}"


def _plain_room(room: Room, names: Names) -> str:
    known = names.rooms.get(room.id)
    return known[1] if known else f"#{room.name or room.id}"


_PLAIN: dict[type, Callable[[Any, Names], str]] = {
    Run: lambda run, names: run.text,
    Link: _plain_link,
    Person: _plain_person,
    Room: _plain_room,
    Group: lambda group, names: f"@{group.name or group.id}",
    Everyone: lambda everyone, names: "@room",
    EmojiRun: lambda emoji, names: emoji.unicode or f":{emoji.name}:",
}
