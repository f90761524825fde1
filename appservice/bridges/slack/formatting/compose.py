"""A Matrix text with what its links and mentions mean -> nodes, ready for Slack."""

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from appservice.bridges.core.outgoing import MatrixReferences, Text
from appservice.bridges.slack.formatting import from_html
from appservice.bridges.slack.formatting.nodes import (
    CODE,
    Block,
    Document,
    Everyone,
    Heading,
    Inline,
    Item,
    Items,
    Line,
    Link,
    Paragraph,
    Person,
    Room,
    Run,
    Styles,
    joined,
    lines_of,
)
from appservice.bridges.slack.ids import local_part

_MATRIX_TO = "https://matrix.to/#/"
_URL = re.compile(r"https?://[^\s<>\"|]{1,2000}[^\s<>\"|.,;:!?)'\]]")
_LETTERS = re.compile(r"\w")
MAX_TEXT = 100_000


def compose(text: Text, *, team_url: str) -> Document:
    """`team_url`: of the workspace, for links to its messages: https://name.slack.com/"""
    references = text.references
    if text.formatted_body:
        emoji = {mxc: local_part(emoji_id) for mxc, emoji_id in references.emoji.items()}
        document = from_html.parse(text.formatted_body, resolve=_resolver(references, team_url), emoji=emoji)
    else:
        document = _plain(text.body[:MAX_TEXT])
    return _with_mentions(document, references)


def _plain(body: str) -> Document:
    return (Paragraph(_with_links(body)),) if body.strip() else ()


def _with_links(body: str) -> Line:
    inlines: list[Inline] = []
    position = 0
    for found in _URL.finditer(body):
        inlines += [Run(body[position : found.start()]), Link(found.group())]
        position = found.end()
    return joined([*inlines, Run(body[position:])])


def _resolver(references: MatrixReferences, team_url: str) -> Callable[[str, str, Styles], Inline | None]:
    def resolve(url: str, text: str, styles: Styles) -> Inline | None:
        target = _matrix_target(url)
        if target.startswith("@"):
            return _mentioned(target, text, styles, references)
        if url in references.messages:
            channel, message = references.messages[url]
            return Link(permalink(team_url, local_part(channel), message), text if text != url else "", styles)
        if target in references.channels:
            return Room(local_part(references.channels[target]), styles=styles)
        if url.lower().startswith(("http://", "https://", "mailto:", "tel:")):
            return Link(url, "" if text == url else text, styles)
        return None

    return resolve


def _matrix_target(url: str) -> str:
    """The user, room or alias that the address is of; empty, if it is another."""
    if not url.startswith(_MATRIX_TO):
        return ""
    return unquote(url.removeprefix(_MATRIX_TO).partition("?")[0])


def _mentioned(user_id: str, text: str, styles: Styles, references: MatrixReferences) -> Inline:
    mention = references.people.get(user_id)
    if mention is None:
        return Run(text or user_id, styles)
    if mention.person is None:
        return Run("@" + (mention.name or text).removeprefix("@"), styles)
    return Person(local_part(mention.person), mention.name, styles)


def permalink(team_url: str, channel: str, ts: str) -> str:
    return f"{team_url.rstrip('/')}/archives/{channel}/p{ts.replace('.', '')}"


def _with_mentions(document: Document, references: MatrixReferences) -> Document:
    """Puts mentions in place of the names of those whom the message mentions without a pill, and of @room."""
    said = {inline.id for line in lines_of(document) for inline in line if isinstance(inline, Person)}
    wanted = {
        mention.name: Person(local_part(mention.person), mention.name)
        for mention in references.people.values()
        if mention.person is not None and mention.name and local_part(mention.person) not in said
    }
    marks: dict[str, Inline] = {**wanted}
    if references.is_for_room:
        marks["@room"] = Everyone()
    if not marks:
        return document
    names = sorted(marks, key=len, reverse=True)[:100]
    pattern = re.compile("|".join(f"@?{re.escape(name)}" if name != "@room" else name for name in names))
    return tuple(_map_lines(document, lambda line: _replaced(line, pattern, marks)))


def _replaced(line: Line, pattern: re.Pattern[str], marks: dict[str, Inline]) -> Line:
    out: list[Inline] = []
    for inline in line:
        out += _marked(inline, pattern, marks) if isinstance(inline, Run) and CODE not in inline.styles else [inline]
    return joined(out)


def _marked(run: Run, pattern: re.Pattern[str], marks: dict[str, Inline]) -> Iterator[Inline]:
    position = 0
    for found in pattern.finditer(run.text):
        around = run.text[found.start() - 1 : found.start()] + run.text[found.end() : found.end() + 1]
        if _LETTERS.search(around):
            continue
        yield Run(run.text[position : found.start()], run.styles)
        name = found.group()
        yield marks[name] if name in marks else marks[name.removeprefix("@")]
        position = found.end()
    yield Run(run.text[position:], run.styles)


def _map_lines(blocks: Iterable[Block], change: Callable[[Line], Line]) -> Iterator[Block]:
    """Not within quotes: those are somebody else's words."""
    for block in blocks:
        if isinstance(block, Paragraph):
            yield Paragraph(change(block.inlines))
        elif isinstance(block, Heading):
            yield Heading(change(block.inlines), block.level)
        elif isinstance(block, Items):
            items = (Item(change(i.inlines), i.indent, i.is_ordered, i.number) for i in block.items)
            yield Items(tuple(items))
        else:
            yield block
