"""A tree of Discord's Markdown as a Matrix text: plain body, HTML, mentions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from attrs import field, frozen

from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId
from appservice.bridges.core.incoming import RemoteReferences
from appservice.bridges.discord.formatting.blocks import MESSAGE_LINK
from appservice.bridges.discord.formatting.tree import (
    Break,
    Code,
    CustomEmoji,
    Item,
    Link,
    List,
    Mention,
    Moment,
    Node,
    Styled,
    Text,
    Tree,
)

EMOJI_HEIGHT = 32

_TAGS = {
    "strong": ("<strong>", "</strong>"),
    "em": ("<em>", "</em>"),
    "underline": ("<u>", "</u>"),
    "strike": ("<del>", "</del>"),
    "spoiler": ("<span data-mx-spoiler>", "</span>"),
    "heading1": ("<h1>", "</h1>"),
    "heading2": ("<h2>", "</h2>"),
    "heading3": ("<h3>", "</h3>"),
    "small": ("<sub>", "</sub>"),
    "quote": ("<blockquote>", "</blockquote>"),
}
_MARKS = {
    "strong": ("**", "**"),
    "em": ("*", "*"),
    "underline": ("__", "__"),
    "strike": ("~~", "~~"),
    "spoiler": ("||", "||"),
    "heading1": ("# ", ""),
    "heading2": ("## ", ""),
    "heading3": ("### ", ""),
    "small": ("", ""),
    "quote": ("> ", ""),
}
# Blocks begin and end their lines by themselves.
_BLOCKS = {"heading1", "heading2", "heading3", "small", "quote"}
_FORMATS = {
    "t": "%H:%M UTC",
    "T": "%H:%M:%S UTC",
    "d": "%Y-%m-%d",
    "D": "%-d %B %Y",
    "f": "%-d %B %Y, %H:%M UTC",
    "F": "%A, %-d %B %Y, %H:%M UTC",
    # So long ago, or until then: a text that stands still can only name the moment.
    "R": "%-d %B %Y, %H:%M UTC",
}


@frozen(kw_only=True)
class Names:
    """What ids are called on Discord, for those that Matrix has nothing for. Roles may have a colour (#rrggbb)."""

    users: Mapping[str, str] = field(factory=dict)
    roles: Mapping[str, str] = field(factory=dict)
    colours: Mapping[str, str] = field(factory=dict)
    channels: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Rendered:
    """`html` is None where it would say no more than the body. `is_for_room`: @everyone or @here stands in it."""

    body: str
    html: str | None
    user_ids: tuple[str, ...] = ()
    is_for_room: bool = False

    def content(self, msgtype: str = "m.text", *, may_mention_room: bool = True) -> dict[str, Any]:
        """As the content of a message."""
        content: dict[str, Any] = {"msgtype": msgtype, "body": self.body, "m.mentions": {}}
        if self.user_ids:
            content["m.mentions"]["user_ids"] = list(self.user_ids)
        if self.is_for_room and may_mention_room:
            content["m.mentions"]["room"] = True
        if self.html is not None:
            content.update(format="org.matrix.custom.html", formatted_body=self.html)
        return content


def render(tree: Tree, references: RemoteReferences, names: Names) -> Rendered:
    """A text for Matrix."""
    writer = _Writer(references, names)
    html = writer.html(tree)
    body = writer.body(tree)
    plain = escape(body, quote=False).replace("\n", "<br>")
    return Rendered(
        body=body,
        html=None if html == plain else html,
        user_ids=tuple(dict.fromkeys(writer.user_ids)),
        is_for_room=writer.is_for_room,
    )


class _Writer:
    def __init__(self, references: RemoteReferences, names: Names) -> None:
        self._references = references
        self._names = names
        self.user_ids: list[str] = []
        self.is_for_room = False

    # HTML.

    def html(self, nodes: Sequence[Node]) -> str:
        return "".join(self._html(node) for node in _without_spare_breaks(nodes))

    def _html(self, node: Node) -> str:
        match node:
            case Text(text):
                return escape(text, quote=False)
            case Break():
                return "<br>"
            case Styled(style, children):
                start, end = _TAGS[style]
                return f"{start}{self.html(children)}{end}"
            case Code(text, language):
                return _code(text, language)
            case List(items, start):
                return self._list(items, start)
            case CustomEmoji():
                return self._emoji(node)
            case Link(url, children):
                return self._link(url, children)
            case Mention():
                return self._mention(node)
            case Moment():
                return escape(_moment(node))

    def _list(self, items: Sequence[Item], start: int | None) -> str:
        rows = "".join(f"<li>{self.html(item.children)}</li>" for item in items)
        if start is None:
            return f"<ul>{rows}</ul>"
        return f"<ol>{rows}</ol>" if start == 1 else f'<ol start="{start}">{rows}</ol>'

    def _emoji(self, emoji: CustomEmoji) -> str:
        uri = self._references.emoji.get(EmojiId(emoji.id))
        name = f":{emoji.name}:"
        if uri is None:
            return escape(name)
        return (
            f'<img data-mx-emoticon src="{escape(uri)}" alt="{escape(name)}" title="{escape(name)}"'
            f' height="{EMOJI_HEIGHT}">'
        )

    def _link(self, url: str, children: Tree) -> str:
        target = self._event(url) or url
        shown = self.html(children) if children else escape(target, quote=False)
        return f'<a href="{escape(target)}">{shown}</a>'

    def _event(self, url: str) -> str | None:
        match = MESSAGE_LINK.match(url)
        return self._references.messages.get((ChannelId(match[1]), MessageId(match[2]))) if match else None

    def _mention(self, mention: Mention) -> str:
        name = escape(self._name(mention), quote=False)
        if mention.kind == "user" and (person := self._references.people.get(PersonId(mention.id))) is not None:
            self.user_ids.append(person.user_id)
            return f'<a href="https://matrix.to/#/{escape(person.user_id)}">{escape(person.name, quote=False)}</a>'
        if mention.kind == "channel" and (room := self._references.channels.get(ChannelId(mention.id))) is not None:
            return f'<a href="{escape(room.link)}">{name}</a>'
        if mention.kind == "role" and (colour := self._names.colours.get(mention.id)) is not None:
            return f'<span data-mx-color="{escape(colour)}">{name}</span>'
        if mention.kind == "everyone":
            self.is_for_room = True
        return f"<code>{name}</code>" if mention.kind == "command" else name

    # The plain body: as on Discord, with names instead of ids.

    def body(self, nodes: Sequence[Node], prefix: str = "") -> str:
        return "".join(self._body(node, prefix) for node in _with_breaks(nodes))

    def _body(self, node: Node, prefix: str) -> str:
        match node:
            case Text(text):
                return text
            case Break():
                return "\n" + prefix
            case Styled(style, children):
                start, end = _MARKS[style]
                return f"{start}{self.body(children, prefix + '> ' if style == 'quote' else prefix)}{end}"
            case Code(text, language):
                shown = f"`{text}`" if language is None else f"```{language}\n{text}\n```"
                return shown.replace("\n", "\n" + prefix)
            case List(items, start):
                return self._rows(items, start, prefix)
            case CustomEmoji():
                return f":{node.name}:"
            case Link(url, children):
                target = self._event(url) or url
                return f"[{self.body(children, prefix)}]({target})" if children else target
            case Mention():
                return self._name(node)
            case Moment():
                return _moment(node)

    def _rows(self, items: Sequence[Item], start: int | None, prefix: str) -> str:
        rows = []
        for number, item in enumerate(items):
            mark = "- " if start is None else f"{start + number}. "
            rows.append(mark + self.body(item.children, prefix + "  "))
        return ("\n" + prefix).join(rows)

    def _name(self, mention: Mention) -> str:
        names = self._names
        match mention.kind:
            case "user":
                person = self._references.people.get(PersonId(mention.id))
                return "@" + (person.name if person is not None else names.users.get(mention.id, "unknown user"))
            case "role":
                return "@" + names.roles.get(mention.id, "unknown role")
            case "channel":
                return "#" + names.channels.get(mention.id, "unknown channel")
            case "everyone":
                return "@" + mention.id
            case _:
                return "/" + mention.id


def _is_block(node: Node) -> bool:
    if isinstance(node, Styled):
        return node.style in _BLOCKS
    return isinstance(node, List) or (isinstance(node, Code) and node.language is not None)


def _without_spare_breaks(nodes: Sequence[Node]) -> list[Node]:
    """Beside a block there is the end of a line already."""
    kept: list[Node] = []
    for at, node in enumerate(nodes):
        if isinstance(node, Break):
            after = nodes[at + 1] if at + 1 < len(nodes) else None
            if (kept and _is_block(kept[-1])) or (after is not None and _is_block(after)):
                continue
        kept.append(node)
    return kept


def _with_breaks(nodes: Sequence[Node]) -> list[Node]:
    """For the plain body: a block stands on lines of its own."""
    written: list[Node] = []
    for node in nodes:
        before = written[-1] if written else None
        if before is not None and not isinstance(before, Break) and not isinstance(node, Break):
            written += [Break()] if _is_block(before) or _is_block(node) else []
        written.append(node)
    return written


def _code(text: str, language: str | None) -> str:
    if language is None:
        return f"<code>{escape(text, quote=False)}</code>"
    named = f' class="language-{escape(language)}"' if language else ""
    return f"<pre><code{named}>{escape(text, quote=False)}</code></pre>"


def _moment(moment: Moment) -> str:
    try:
        return datetime.fromtimestamp(moment.seconds, UTC).strftime(_FORMATS[moment.style])
    except (ValueError, OverflowError, OSError):
        return f"<t:{moment.seconds}>"
