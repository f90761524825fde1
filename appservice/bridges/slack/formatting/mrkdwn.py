"""Slack's mrkdwn text -> nodes. Source: docs.slack.dev, "Formatting message text".

Linear in the length of the text: each character is looked at a bounded number of times. Styles do not cross a line, do
not nest in themselves, begin after and end before what is no letter or digit.
"""

import re
from collections.abc import Iterator

from attrs import evolve

from appservice.bridges.slack.formatting.emoji import unicode_of
from appservice.bridges.slack.formatting.nodes import (
    BOLD,
    CODE,
    ITALIC,
    STRIKE,
    Block,
    Code,
    Document,
    EmojiRun,
    Everyone,
    Group,
    Inline,
    Line,
    Link,
    Paragraph,
    Person,
    Quote,
    Room,
    Run,
    joined,
)

# Slack cuts a text at 40,000; what is longer came from nobody we know.
MAX_TEXT = 100_000
_FENCE = re.compile(r"```(.*?)```", re.DOTALL)
_TOKEN = re.compile(
    r"<(?P<entity>[^<>\n]{1,4000})>"
    r"|`(?P<code>[^`\n]{1,4000})`"
    r"|:(?P<emoji>[a-z0-9_+'\-]{1,100}(?:::skin-tone-[2-6])?):"
    r"|(?P<mark>[*_~])",
    re.IGNORECASE,
)
_STYLES = {"*": BOLD, "_": ITALIC, "~": STRIKE}
_BROADCASTS = {"!here": "here", "!channel": "channel", "!everyone": "everyone"}


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def parse(text: str) -> Document:
    """The blocks of a text: code, quotes and paragraphs."""
    blocks: list[Block] = []
    rest = text[:MAX_TEXT]
    position = 0
    for fence in _FENCE.finditer(rest):
        blocks += _prose(rest[position : fence.start()])
        blocks.append(Code(_flat(fence.group(1).strip("\n"))))
        position = fence.end()
    return tuple([*blocks, *_prose(rest[position:])])


def parse_line(text: str) -> Line:
    """Inline content only; line breaks stay in it."""
    inlines: list[Inline] = []
    for number, line in enumerate(text[:MAX_TEXT].split("\n")):
        if number:
            inlines.append(Run("\n"))
        inlines += _styled(line)
    return joined(inlines)


def _prose(text: str) -> Iterator[Block]:
    """Neighbouring lines that are quoted, or not, together. `>>>` quotes all that follows."""
    if not text.strip("\n"):
        return
    lines = text.strip("\n").split("\n")
    pending: list[str] = []
    is_quoted = False
    for number, line in enumerate(lines):
        if line.startswith(("&gt;&gt;&gt;", ">>>")):
            yield from _block(pending, is_quoted)
            first = line.removeprefix("&gt;&gt;&gt;").removeprefix(">>>").lstrip(" ")
            yield from _block([first, *lines[number + 1 :]], True)
            return
        quoted = line.startswith(("&gt;", ">"))
        if quoted != is_quoted:
            yield from _block(pending, is_quoted)
            pending, is_quoted = [], quoted
        pending.append(line.removeprefix("&gt;").removeprefix(">").removeprefix(" ") if quoted else line)
    yield from _block(pending, is_quoted)


def _block(lines: list[str], is_quoted: bool) -> Iterator[Block]:
    line = parse_line("\n".join(lines)) if lines else ()
    if line:
        yield Quote((Paragraph(line),)) if is_quoted else Paragraph(line)


def _styled(line: str) -> list[Inline]:
    """One line. An opened style is applied when it is closed; until then its mark is text."""
    result: list[Inline] = []
    opened: dict[str, int] = {}
    position = 0
    for token in _TOKEN.finditer(line):
        if token.start() > position:
            result.append(Run(unescape(line[position : token.start()])))
        position = token.end()
        mark = token.group("mark")
        if mark is None:
            result.append(_atom(token))
        elif mark in opened and _may_close(line, token.start()):
            _close(result, opened, mark)
        else:
            if mark not in opened and _may_open(line, token.start()):
                opened[mark] = len(result)
            result.append(Run(mark))
    result.append(Run(unescape(line[position:])))
    return result


def _close(result: list[Inline], opened: dict[str, int], mark: str) -> None:
    start = opened.pop(mark)
    # What was opened within and is still open was no style.
    for other in [other for other, index in opened.items() if index > start]:
        del opened[other]
    result[start] = Run("")
    for index in range(start, len(result)):
        each = result[index]
        result[index] = evolve(each, styles=each.styles | {_STYLES[mark]})


def _may_open(line: str, at: int) -> bool:
    before, after = line[at - 1 : at], line[at + 1 : at + 2]
    return not before.isalnum() and bool(after) and not after.isspace() and after != line[at]


def _may_close(line: str, at: int) -> bool:
    before, after = line[at - 1 : at], line[at + 1 : at + 2]
    return bool(before) and not before.isspace() and before != line[at] and not after.isalnum()


def _atom(token: re.Match[str]) -> Inline:
    if token.group("entity") is not None:
        return entity(token.group("entity"))
    if token.group("code") is not None:
        return Run(_flat(token.group("code")), frozenset([CODE]))
    name = token.group("emoji").lower()
    return EmojiRun(name, unicode_of(name))


def entity(text: str) -> Inline:
    """What stands in angle brackets."""
    target, _, label = text.partition("|")
    label = unescape(label)
    if target.startswith("@"):
        return Person(target[1:], label)
    if target.startswith("#"):
        return Room(target[1:], label)
    if target in _BROADCASTS:
        return Everyone(_BROADCASTS[target])  # type: ignore[arg-type]
    if target.startswith("!subteam^"):
        return Group(target.removeprefix("!subteam^"), label.removeprefix("@"))
    if target.startswith("!"):
        return Run(label or target)
    return Link(unescape(target), label)


def _flat(text: str) -> str:
    """In code only links and escapes mean something."""
    shown = re.sub(r"<([^<>\n]{1,4000})>", lambda found: _shown(found.group(1)), text)
    return unescape(shown)


def _shown(text: str) -> str:
    """An entity as text. The escapes stay for the caller."""
    target, _, label = text.partition("|")
    return label or target
