"""A Matrix text as Discord's Markdown.

HTML is read by the standard library's tolerant parser into the pieces of Markdown directly, with a stack of what is
open; tags that nest deeper than MAX_DEPTH are read over, their text is kept. Source: client-server API,
"m.room.message msgtypes" (the permitted tags).
"""

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from urllib.parse import unquote

from attrs import define, field, frozen

from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId
from appservice.bridges.core.outgoing import MatrixReferences, Text

MAX_DEPTH = 15
MAX_LENGTH = 100_000

_ESCAPED = re.compile(r"([\\*_`~|\[\]])|(<)(?=[@#:/]|a:|t:|id:)")
_LINE_START = re.compile(r"^(\s*)(#{1,3}[ \t]|-#[ \t]|>{1,3}[ \t]|[-+*][ \t]|\d{1,9}\.[ \t])", re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^\s<>]+")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_MATRIX_TO = re.compile(r"https://matrix\.to/#/([^?/]+)(?:/([^?]+))?")

# Within what is being written, until `_tidied`: here a line ends; here a paragraph ends; an indentation; a space that
# stays. None of them stands in texts of Matrix users: `_CONTROLS` is taken out of those.
_LINE, _PARAGRAPH, _INDENT, _SPACE = "\x1e", "\x1f", "\x1d", "\x1c"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = " \n\x1e\x1f"
_GAP = re.compile(r"[ \n\x1e\x1f]*[\n\x1e\x1f][ \n\x1e\x1f]*")

_MARKS = {
    "strong": "**", "b": "**", "em": "*", "i": "*", "u": "__", "ins": "__", "del": "~~", "s": "~~", "strike": "~~",
}  # fmt: skip
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "### ", "h5": "### ", "h6": "### "}
_PARAGRAPHS = {"p", "div", "table", "tr", "details", "summary", "caption", "thead", "tbody", "hr"}
_BLOCKS = _PARAGRAPHS | set(_HEADINGS) | {"blockquote", "li", "ul", "ol"}
_DROPPED = {"mx-reply", "script", "style", "head", "title", "template"}
_VOID = {"br", "img", "hr", "input", "meta", "link", "wbr"}


@frozen(kw_only=True)
class Known:
    """How Discord writes custom emoji (<:name:id>), by id; and the address of a message."""

    emoji: Mapping[str, str] = field(factory=dict)
    message_link: Callable[[ChannelId, MessageId], str] = lambda channel, message: f"<#{channel}>"


@frozen(kw_only=True)
class Written:
    """Markdown, and whom it may ping."""

    text: str
    user_ids: tuple[str, ...] = ()
    pings_everyone: bool = False


def write(text: Text, known: Known = Known()) -> Written:
    """A text for Discord; of any length."""
    if text.formatted_body is None:
        return _Plain(text.references, known).write(_CONTROLS.sub("", text.body[:MAX_LENGTH]))
    reader = _Html(text.references, known)
    reader.feed(_CONTROLS.sub("", text.formatted_body[:MAX_LENGTH]))
    reader.close()
    return reader.written()


def escaped(text: str) -> str:
    """Plain text that Discord shows as it is; addresses keep working."""
    pieces, at = [], 0
    for match in _ADDRESS.finditer(text):
        pieces += [_escaped(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join(pieces) + _escaped(text[at:])


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\\" + match[0], text)


def _escape_starts(text: str) -> str:
    """What would begin a block of its own at the start of a line."""
    return _LINE_START.sub(lambda match: match[1] + _guarded(match[2]), text)


def _guarded(mark: str) -> str:
    # A number's dot, else the first character.
    return mark.replace(".", "\\.", 1) if mark[0].isdigit() else "\\" + mark


class _References:
    """What links and names mean on Discord."""

    def __init__(self, references: MatrixReferences, known: Known) -> None:
        self.references = references
        self.known = known
        self.pinged: dict[str, None] = {}

    def person(self, user_id: str) -> str | None:
        mention = self.references.people.get(user_id)
        if mention is None:
            return None
        if mention.person is None:
            return "@" + escaped(mention.name)
        self.pinged[mention.person] = None
        return f"<@{mention.person}>"

    def address(self, url: str) -> str | None:
        """What a matrix.to address means: a person, a channel, a message."""
        message = self.references.messages.get(url)
        if message is not None:
            return self.known.message_link(*message)
        match = _MATRIX_TO.match(url)
        if match is None:
            return None
        target = unquote(match[1])
        if target.startswith("@"):
            return self.person(target)
        channel = self.references.channels.get(target)
        return None if channel is None or match[2] else f"<#{channel}>"

    def emoji(self, mxc: str) -> str | None:
        emoji = self.references.emoji.get(mxc)
        return None if emoji is None else self.known.emoji.get(EmojiId(emoji))

    def written(self, text: str) -> Written:
        return Written(text=text, user_ids=tuple(self.pinged), pings_everyone=self.references.is_for_room)


class _Plain(_References):
    """A text without HTML: addresses and the names of who is mentioned are all there is to be found in it."""

    def write(self, body: str) -> Written:
        pieces, at = [], 0
        for match in _ADDRESS.finditer(body):
            meant = self.address(match[0])
            pieces += [self._names(body[at : match.start()]), meant or match[0]]
            at = match.end()
        pieces.append(self._names(body[at:]))
        return self.written(_escape_starts("".join(pieces)))

    def _names(self, text: str) -> str:
        """The first place where each of those mentioned is named becomes a mention."""
        places: list[tuple[int, int, str]] = []
        for user_id, mention in self.references.people.items():
            if mention.person is None:
                continue
            for name in (user_id, "@" + mention.name, mention.name):
                start = text.find(name)
                if (
                    name
                    and start >= 0
                    and not any(start < end and begin < start + len(name) for begin, end, _ in places)
                ):
                    places.append((start, start + len(name), user_id))
                    break
        pieces, at = [], 0
        for start, end, user_id in sorted(places):
            pieces += [escaped(text[at:start]), self.person(user_id) or ""]
            at = end
        return "".join(pieces) + escaped(text[at:])


@define
class _Open:
    """A tag that is open; `pieces` are what stands in it."""

    tag: str
    attributes: dict[str, str]
    pieces: list[str] = field(factory=list)
    # Of lists: the number of the next item, None without numbers.
    number: int | None = None


class _Html(HTMLParser, _References):
    def __init__(self, references: MatrixReferences, known: Known) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)
        _References.__init__(self, references, known)
        self._stack = [_Open("", {})]
        # Tags that nest too deep: their ends are to be read over too.
        self._skipped = 0

    def written(self, text: str = "") -> Written:
        while len(self._stack) > 1:
            self._close()
        return super().written(_tidied("".join(self._stack[0].pieces)).replace(_INDENT, "  ").replace(_SPACE, " "))

    # What the parser calls.

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in _VOID:
            self._put(self._void(tag, attributes))
        elif len(self._stack) > MAX_DEPTH:
            self._skipped += 1
        else:
            start = attributes.get("start", "1")
            number = (int(start) if start.isdecimal() and len(start) < 10 else 1) if tag == "ol" else None
            self._stack.append(_Open(tag, attributes, number=number))

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if tag not in {each.tag for each in self._stack[1:]}:
            return
        while self._stack[-1].tag != tag:
            self._close()
        self._close()

    def handle_data(self, data: str) -> None:
        if self._inside("pre", "code"):
            self._put(data)
        elif self._inside(*_DROPPED):
            return
        else:
            text = escaped(_SPACES.sub(" ", data))
            self._put(_escape_starts(text) if self._is_at_start() else text)

    # Pieces of Markdown.

    def _inside(self, *tags: str) -> bool:
        return any(each.tag in tags for each in self._stack)

    def _is_at_start(self) -> bool:
        """Whether what comes now may stand at the beginning of a line."""
        for each in reversed(self._stack):
            written = "".join(each.pieces[-3:]).rstrip(" ")
            if written:
                return written[-1] in "\n\x1e\x1f"
            if each.tag in _BLOCKS:
                return True
        return True

    def _put(self, piece: str) -> None:
        self._stack[-1].pieces.append(piece)

    def _void(self, tag: str, attributes: dict[str, str]) -> str:
        if tag == "br":
            return "\n"
        if tag == "hr":
            return f"{_LINE}---{_LINE}"
        if tag != "img":
            return ""
        named = attributes.get("alt") or attributes.get("title") or ""
        return self.emoji(attributes.get("src", "")) or escaped(named)

    def _close(self) -> None:
        closed = self._stack.pop()
        if closed.tag not in _DROPPED:
            self._put(self._piece(closed, "".join(closed.pieces)))

    def _piece(self, closed: _Open, inner: str) -> str:
        tag = closed.tag
        if tag in _MARKS:
            return _marked(inner, _MARKS[tag])
        if tag in _HEADINGS:
            return f"{_LINE}{_HEADINGS[tag]}{_in_one_line(inner)}{_LINE}" if inner.strip() else ""
        if tag in ("code", "pre"):
            return self._code(closed, inner)
        if tag == "blockquote":
            rows = _tidied(inner).split("\n")
            return _LINE + "\n".join(f">{_SPACE}{row}" for row in rows) + _LINE
        if tag in ("ul", "ol", "li"):
            return self._listed(closed, inner)
        if tag == "a":
            return self._link(closed.attributes.get("href", ""), inner)
        if tag == "span":
            return self._span(closed, inner)
        if tag in ("sub", "small") and self._stack[-1].tag in ("", "p", "div"):
            return f"{_LINE}-# {_in_one_line(inner)}{_LINE}" if inner.strip() else ""
        if tag in _PARAGRAPHS:
            end = _PARAGRAPH if tag == "p" else _LINE
            return f"{end}{inner}{end}"
        return inner + (" | " if tag in ("td", "th") else "")

    def _code(self, closed: _Open, inner: str) -> str:
        if closed.tag == "pre":
            # The mark of the end must not stand within.
            text = inner.replace("```", "`\u200b`\u200b`").strip("\n")
            language = self._stack[-1].attributes.pop("language", "")
            return f"{_LINE}```{language}\n{text}\n```{_LINE}"
        if self._inside("pre"):
            named = closed.attributes.get("class", "").removeprefix("language-")
            self._stack[-2].attributes["language"] = named if re.fullmatch(r"[A-Za-z0-9_+\-.#]{1,30}", named) else ""
            return inner
        if not inner.strip():
            return inner
        return f"`{inner}`" if "`" not in inner else f"`` {inner} ``" if "``" not in inner else escaped(inner)

    def _listed(self, closed: _Open, inner: str) -> str:
        if closed.tag != "li":
            return f"{_LINE}{inner}{_LINE}"
        parent = self._stack[-1]
        mark = "- "
        if parent.number is not None:
            mark, parent.number = f"{parent.number}. ", parent.number + 1
        rows = _tidied(inner).split("\n")
        return _LINE + mark + f"\n{_INDENT}".join(row for row in rows if row.strip()) + _LINE

    def _span(self, closed: _Open, inner: str) -> str:
        if "data-mx-spoiler" not in closed.attributes:
            return inner
        reason = closed.attributes["data-mx-spoiler"]
        shown = f"||{inner}||" if inner.strip() else ""
        return f"({escaped(reason)}) {shown}" if reason else shown

    def _link(self, url: str, inner: str) -> str:
        meant = self.address(url)
        if meant is not None:
            return meant
        if not re.match(r"https?://[^\s<>]+$", url) or not inner.strip():
            return inner
        # What stands in brackets may not be an address itself: Discord refuses to mask one by another.
        if _ADDRESS.search(inner):
            return url if inner.strip().rstrip("/") == url.rstrip("/") else f"{inner} (<{url}>)"
        return f"[{inner.strip()}]({url.replace(')', '%29')})"


def _marked(inner: str, mark: str) -> str:
    """Styled: the marks stand at the letters, not at spaces and ends of lines, which are around them."""
    text = inner.strip(_BLANK)
    if not text:
        return inner
    start = inner[: len(inner) - len(inner.lstrip(_BLANK))]
    end = inner[len(inner.rstrip(_BLANK)) :]
    return f"{start}{mark}{text}{mark}{end}"


def _in_one_line(text: str) -> str:
    return " ".join(_tidied(text).split())


def _tidied(text: str) -> str:
    """Ends of lines where they are wanted, no more than one empty line; code blocks as they were."""
    pieces = re.split(r"(```[^\n]*\n.*?\n```)", text, flags=re.DOTALL)
    for at in range(0, len(pieces), 2):
        pieces[at] = _GAP.sub(_gap, pieces[at])
    return "".join(pieces).strip(_BLANK)


def _gap(match: re.Match[str]) -> str:
    """Between two lines: as many ends as were written, else what the blocks around want."""
    written = match[0].count("\n")
    if written:
        return "\n" * min(written, 2)
    return "\n" if _LINE in match[0] else "\n\n"
