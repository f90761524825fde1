"""Discord's Markdown within a line: styles, code, links, mentions.

The rules and their order are those of Discord's own client, which tries one regular expression after the other at each
place; so what it shows odd is odd here too. Work is bounded: styles nest MAX_DEPTH deep, deeper ones stay as written;
a rule whose closing mark comes nowhere behind a place is not tried again from later ones.
"""

import re
from collections.abc import Callable

from appservice.bridges.discord.formatting.tree import (
    Break,
    Code,
    CustomEmoji,
    Link,
    Mention,
    Moment,
    Node,
    Styled,
    Text,
    Tree,
)

MAX_DEPTH = 12

CODE_BLOCK = re.compile(r"```(?:([A-Za-z0-9_+\-.#]+?)\n)?\n*([^\n].*?)\n*```", re.DOTALL)
_CODE = re.compile(r"(`+)(.*?[^`])\1(?!`)", re.DOTALL)
_STYLES = (
    ("strong", "**", re.compile(r"\*\*((?:\\.|[^\\])+?)\*\*(?!\*)", re.DOTALL)),
    ("underline", "__", re.compile(r"__((?:\\.|[^\\])+?)__(?!_)", re.DOTALL)),
    ("em", "*", re.compile(r"\*(?=\S)((?:\*\*|\\.|\s+(?:\\.|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)", re.DOTALL)),
    ("em", "_", re.compile(r"_((?:__|\\.|[^\\_])+?)_(?![A-Za-z0-9])", re.DOTALL)),
    ("strike", "~~", re.compile(r"~~(.+?)~~(?!_)", re.DOTALL)),
    ("spoiler", "||", re.compile(r"\|\|(.+?)\|\|", re.DOTALL)),
)
_ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")
_ANGLE = re.compile(
    r"<(?:@!?(?P<user>\d{1,20})|@&(?P<role>\d{1,20})|#(?P<channel>\d{1,20})"
    r"|(?P<animated>a)?:(?P<name>\w{1,64}):(?P<emoji>\d{1,20})"
    r"|t:(?P<seconds>-?\d{1,12})(?::(?P<style>[tTdDfFR]))?"
    r"|/(?P<command>[^:>\n]{1,100}):\d{1,20}|(?P<url>https?://[^\s<>]+))>"
)
_MASKED = re.compile(r"\[((?:\\.|\[[^\[\]\\]*\]|[^\[\]\\])+?)\]\(\s*<?(https?://[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?"
                     r"(?:\s+\"[^\"]*\")?\s*\)", re.DOTALL)  # fmt: skip
_ADDRESS = re.compile(r"https?://[^\s<]+[^<.,:;\"')\]\s|*]")
_EVERYONE = re.compile(r"@(everyone|here)\b")
_SPECIAL = re.compile(r"[\\`*_~|<\[@\n]|https?://")


def read_line(text: str, depth: int = 0) -> Tree:
    """The nodes of a text without blocks (but code blocks, which may stand anywhere)."""
    return tuple(_Reader(text, depth).read())


class _Reader:
    """`at` goes through the text once; what no rule takes is plain."""

    def __init__(self, text: str, depth: int) -> None:
        self._text = text
        self._depth = depth
        self._plain: list[str] = []
        self._nodes: list[Node] = []
        # By closing mark: behind this place there is none.
        self._hopeless: dict[str, int] = {}

    def read(self) -> list[Node]:
        at, text = 0, self._text
        while at < len(text):
            found = _SPECIAL.search(text, at)
            start = found.start() if found else len(text)
            self._plain.append(text[at:start])
            at = self._take(start) if found else start
        self._flush()
        return self._nodes

    def _take(self, at: int) -> int:
        """Where it goes on after what begins here."""
        for rule in _RULES.get(self._text[at], ()):
            end = rule(self, at)
            if end is not None:
                return end
        self._plain.append(self._text[at])
        return at + 1

    def _flush(self) -> None:
        plain = "".join(self._plain)
        self._plain.clear()
        if plain:
            self._nodes.append(Text(plain))

    def _add(self, node: Node, end: int) -> int:
        self._flush()
        self._nodes.append(node)
        return end

    # The rules: each gives the end of what it took, or None.

    def escape(self, at: int) -> int | None:
        # The one shrug that everybody writes without escaping.
        if self._text.startswith("¯\\_(ツ)_/¯", at - 1):
            self._plain.append(self._text[at : at + 8])
            return at + 8
        match = _ESCAPE.match(self._text, at)
        if match is None:
            return None
        self._plain.append(match[1])
        return match.end()

    def code(self, at: int) -> int | None:
        if self._text.startswith("```", at) and self._may_close("```", at + 3):
            block = CODE_BLOCK.match(self._text, at)
            if block is not None:
                return self._add(Code(block[2], block[1] or ""), block.end())
        if not self._may_close("`", at + 1):
            return None
        match = _CODE.match(self._text, at)
        return None if match is None else self._add(Code(_trimmed(match[2])), match.end())

    def style(self, at: int) -> int | None:
        if self._depth >= MAX_DEPTH:
            return None
        for style, mark, pattern in _STYLES:
            if not self._text.startswith(mark, at) or not self._may_close(mark, at + len(mark)):
                continue
            # Within a word an underscore is an underscore.
            if mark == "_" and at and self._text[at - 1].isalnum():
                continue
            match = pattern.match(self._text, at)
            if match is not None:
                return self._add(Styled(style, read_line(match[1], self._depth + 1)), match.end())
        return None

    def angle(self, at: int) -> int | None:
        match = _ANGLE.match(self._text, at)
        return None if match is None else self._add(_meant(match), match.end())

    def masked(self, at: int) -> int | None:
        if self._depth >= MAX_DEPTH or not self._may_close("](", at):
            return None
        match = _MASKED.match(self._text, at)
        if match is None:
            return None
        return self._add(Link(match[2], read_line(match[1], self._depth + 1)), match.end())

    def address(self, at: int) -> int | None:
        match = _ADDRESS.match(self._text, at)
        return None if match is None else self._add(Link(match[0]), match.end())

    def everyone(self, at: int) -> int | None:
        match = _EVERYONE.match(self._text, at)
        return None if match is None else self._add(Mention("everyone", match[1]), match.end())

    def line_end(self, at: int) -> int:
        return self._add(Break(), at + 1)

    def _may_close(self, mark: str, start: int) -> bool:
        if self._hopeless.get(mark, len(self._text) + 1) <= start:
            return False
        if self._text.find(mark, start) < 0:
            self._hopeless[mark] = start
            return False
        return True


Rule = Callable[[_Reader, int], int | None]
_RULES: dict[str, tuple[Rule, ...]] = {
    "\\": (_Reader.escape,),
    "`": (_Reader.code,),
    "*": (_Reader.style,),
    "_": (_Reader.style,),
    "~": (_Reader.style,),
    "|": (_Reader.style,),
    "<": (_Reader.angle,),
    "[": (_Reader.masked,),
    "@": (_Reader.everyone,),
    "h": (_Reader.address,),
    "\n": (_Reader.line_end,),
}


def _meant(match: re.Match[str]) -> Node:
    """What stands between < and >."""
    for kind in ("user", "role", "channel", "command"):
        if match[kind]:
            return Mention(kind, match[kind])
    if match["emoji"]:
        return CustomEmoji(match["emoji"], match["name"], bool(match["animated"]))
    if match["seconds"]:
        return Moment(int(match["seconds"]), match["style"] or "f")
    return Link(match["url"])


def _trimmed(code: str) -> str:
    """`` `a` `` is a in backticks: the spaces are there to keep them apart."""
    if code.startswith(" ") and code.endswith(" ") and code.strip().startswith("`") | code.strip().endswith("`"):
        return code[1:-1]
    return code
