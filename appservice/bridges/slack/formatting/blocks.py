"""A message of Slack (text, blocks, attachments) -> nodes and actions. Source: docs.slack.dev, "Block Kit: Blocks"."""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import evolve, frozen

from appservice.bridges.core.incoming import Action
from appservice.bridges.slack.formatting import mrkdwn, rich_text
from appservice.bridges.slack.formatting.interactive import MAX_ACTIONS, actions_of, label_of
from appservice.bridges.slack.formatting.nodes import (
    BOLD,
    ITALIC,
    Block,
    Divider,
    Document,
    Heading,
    Inline,
    Line,
    Link,
    Paragraph,
    Picture,
    Quote,
    Run,
)
from appservice.bridges.slack.formatting.rich_text import dicts, text_of

MAX_BLOCKS = 100
MAX_ATTACHMENTS = 20
# A forwarded message holds blocks, which hold no further messages.
MAX_NESTING = 2


@frozen
class Rendered:
    document: Document
    actions: tuple[Action, ...] = ()


def read(message: dict[str, Any]) -> Rendered:
    """All that a message says, but for its files. The text stands for blocks of which nothing is known."""
    blocks = dicts(message.get("blocks"))[:MAX_BLOCKS]
    document = [*read_blocks(blocks)]
    actions = [*actions_of(blocks)]
    if not document:
        document = [*mrkdwn.parse(text_of(message.get("text")))]
    for attachment in dicts(message.get("attachments"))[:MAX_ATTACHMENTS]:
        document += _attachment(attachment)
        actions += actions_of(dicts(attachment.get("blocks"))[:MAX_BLOCKS])
    return Rendered(tuple(document), tuple(actions[:MAX_ACTIONS]))


def read_blocks(blocks: list[dict[str, Any]]) -> Iterator[Block]:
    for block in blocks:
        reader = _READERS.get(text_of(block.get("type")))
        if reader is not None:
            yield from reader(block)


def _rich_text(block: dict[str, Any]) -> Iterator[Block]:
    yield from rich_text.read(block)


def _section(block: dict[str, Any]) -> Iterator[Block]:
    for text in dicts([block.get("text"), *dicts(block.get("fields"))]):
        yield from _text_object(text)
    for accessory in dicts([block.get("accessory")]):
        if accessory.get("type") == "image":
            yield from _image(accessory)


def _text_object(text: dict[str, Any]) -> Iterator[Block]:
    said = text_of(text.get("text"))
    if text.get("type") == "mrkdwn":
        yield from mrkdwn.parse(said)
    elif said:
        yield Paragraph((Run(said),))


def _context(block: dict[str, Any]) -> Iterator[Block]:
    """Pictures here are adornments of a few pixels: their description stands."""
    line: list[Inline] = []
    for element in dicts(block.get("elements")):
        if line:
            line.append(Run(" "))
        if element.get("type") == "image":
            line.append(Run(text_of(element.get("alt_text"))))
        elif element.get("type") == "mrkdwn":
            line += mrkdwn.parse_line(text_of(element.get("text")))
        else:
            line.append(Run(text_of(element.get("text"))))
    if line:
        yield Paragraph(tuple(line))


def _header(block: dict[str, Any]) -> Iterator[Block]:
    said = label_of(block.get("text"))
    if said:
        yield Heading((Run(said),))


def _image(block: dict[str, Any]) -> Iterator[Block]:
    said = label_of(block.get("title")) or text_of(block.get("alt_text"))
    file = block.get("slack_file")
    url = text_of(block.get("image_url")) or (text_of(file.get("url")) if isinstance(file, dict) else "")
    if url:
        yield Picture(url, said)
    elif said:
        yield Paragraph((Run(said),))


def _divider(block: dict[str, Any]) -> Iterator[Block]:
    yield Divider()


def _video(block: dict[str, Any]) -> Iterator[Block]:
    title, url = label_of(block.get("title")), text_of(block.get("title_url")) or text_of(block.get("video_url"))
    if url:
        yield Paragraph((Link(url, title),))
    said = label_of(block.get("description"))
    if said:
        yield Paragraph((Run(said),))


def _markdown(block: dict[str, Any]) -> Iterator[Block]:
    said = text_of(block.get("text"))
    if said:
        yield Paragraph((Run(said),))


def _input(block: dict[str, Any]) -> Iterator[Block]:
    said = label_of(block.get("label"))
    if said:
        yield Paragraph((Run(said, frozenset([BOLD])),))


def _table(block: dict[str, Any]) -> Iterator[Block]:
    """A row is a line."""
    rows = block.get("rows")
    for row in rows[:200] if isinstance(rows, list) else []:
        line: list[Inline] = []
        for cell in dicts(row):
            if line:
                line.append(Run(" | "))
            line += [Run(text_of(cell.get("text")))] if cell.get("type") == "raw_text" else _cell(cell)
        if line:
            yield Paragraph(tuple(line))


def _cell(cell: dict[str, Any]) -> Line:
    return tuple(inline for element in dicts(cell.get("elements")) for inline in rich_text.inlines(element))


_READERS: dict[str, Callable[[dict[str, Any]], Iterator[Block]]] = {
    "rich_text": _rich_text,
    "section": _section,
    "context": _context,
    "header": _header,
    "image": _image,
    "divider": _divider,
    "video": _video,
    "markdown": _markdown,
    "input": _input,
    "table": _table,
}


def _attachment(attachment: dict[str, Any], depth: int = 0) -> Iterator[Block]:
    """An unfurled link, a forwarded message, or what apps attached before there were blocks: shown as a quote."""
    pretext = text_of(attachment.get("pretext"))
    if pretext:
        yield from mrkdwn.parse(pretext)
    inner = [*_attachment_head(attachment), *_attachment_body(attachment, depth), *_attachment_foot(attachment)]
    if inner:
        yield Quote(tuple(inner))
    elif not pretext:
        yield from _text_object({"type": "plain_text", "text": text_of(attachment.get("fallback"))})


def _attachment_head(attachment: dict[str, Any]) -> Iterator[Block]:
    who = text_of(attachment.get("author_name")) or text_of(attachment.get("service_name"))
    if who:
        link = text_of(attachment.get("author_link"))
        if not link and (attachment.get("is_share") or attachment.get("is_msg_unfurl")):
            link = text_of(attachment.get("from_url"))
        yield Paragraph((Link(link, who, frozenset([BOLD])) if link else Run(who, frozenset([BOLD])),))
    title, link = text_of(attachment.get("title")), text_of(attachment.get("title_link"))
    if title:
        yield Paragraph((Link(link, title, frozenset([BOLD])) if link else Run(title, frozenset([BOLD])),))


def _attachment_body(attachment: dict[str, Any], depth: int) -> Iterator[Block]:
    nested = [*_forwarded(attachment), *read_blocks(dicts(attachment.get("blocks"))[:MAX_BLOCKS])]
    yield from nested or mrkdwn.parse(text_of(attachment.get("text")))
    for field in dicts(attachment.get("fields"))[:MAX_BLOCKS]:
        value = mrkdwn.parse_line(text_of(field.get("value")))
        yield Paragraph((Run(text_of(field.get("title")), frozenset([BOLD])), Run(": "), *value))
    if depth < MAX_NESTING:
        for inner in dicts(attachment.get("attachments"))[:MAX_ATTACHMENTS]:
            yield from _attachment(inner, depth + 1)


def _forwarded(attachment: dict[str, Any]) -> Iterator[Block]:
    for shared in dicts(attachment.get("message_blocks"))[:MAX_ATTACHMENTS]:
        message = shared.get("message")
        if isinstance(message, dict):
            yield from read_blocks(dicts(message.get("blocks"))[:MAX_BLOCKS])


def _attachment_foot(attachment: dict[str, Any]) -> Iterator[Block]:
    url = text_of(attachment.get("image_url")) or text_of(attachment.get("thumb_url"))
    if url:
        yield Picture(url, text_of(attachment.get("title")) or "image")
    for action in dicts(attachment.get("actions")):
        label = text_of(action.get("text"))
        link = text_of(action.get("url"))
        if label and link:
            yield Paragraph((Link(link, label),))
    footer = text_of(attachment.get("footer"))
    if footer:
        yield Paragraph(tuple(evolve(each, styles=each.styles | {ITALIC}) for each in mrkdwn.parse_line(footer)))
