"""JSON of tens of megabytes, decoded a little at a time: the state of a large room would hold everybody up for long.

Theory of operation. Only the outermost lists are long. So the text is cut where their elements end, and after every
forty kilobytes others have their turn. Mostly `},{` or `","` stands between two elements: what lies before the last one
in reach is decoded at once, in brackets. If that was no end of an element, but within a text or deeper, brackets or
quotes are left open and the decoder refuses it. Then each element is decoded by itself, and where it ends the scanner
of the standard library finds out. Values are counted before they are decoded: they may take twenty times what their
text does.
"""

import codecs
import json
import re
from collections.abc import Generator
from typing import Any

import orjson

from homeserver.runtime.clock import Clock
from homeserver.runtime.garbage import leave_alone
from homeserver.web.body import max_values, values_in

# Characters in memory at once, unless an element is longer; and that are decoded in one turn: a millisecond or two.
WINDOW, TURN = 1 << 17, 40_000
# Of a list: the longest is an event, or the entry of a directory.
MAX_ELEMENT = 1 << 20
_ENDS = frozenset(",]}: \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")

Steps = Generator[None, None, Any]


async def decode_in_turns(body: bytes, clock: Clock) -> Any:
    """The value. Raises: ValueError."""
    steps = _Reader(body).document()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        leave_alone()
        await clock.sleep(0)


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._at = 0
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._pos = 0
        self._turn = 0
        # Up to here nothing is decoded at once: it was tried in vain, or there is nothing to try.
        self._doubtful = 0
        self._values_left = max_values(len(body))
        self._scan = json.JSONDecoder().raw_decode

    def document(self) -> Steps:
        value = (yield from self._object()) if self._peek() == "{" else self._element()
        if self._peek():
            raise ValueError("something follows the value")
        return value

    def _object(self) -> Steps:
        """Its members; only of lists the elements one by one."""
        found: dict[str, Any] = {}
        self._pos += 1
        if self._skip("}"):
            return found
        while True:
            if self._peek() != '"':
                raise ValueError("a member has no name")
            name = self._element()
            if not self._skip(":"):
                raise ValueError("a member has no value")
            found[name] = (yield from self._array()) if self._peek() == "[" else self._element()
            if self._skip("}"):
                return found
            if not self._skip(","):
                raise ValueError("the object does not end")

    def _array(self) -> Steps:
        found: list[Any] = []
        self._pos += 1
        if self._skip("]"):
            return found
        while True:
            found += self._elements()
            if self._skip("]"):
                return found
            if not self._skip(","):
                raise ValueError("the list does not end")
            if self._turn >= TURN:
                self._turn = 0
                yield

    def _elements(self) -> list[Any]:
        """The next elements of a list; at least one."""
        self._peek()
        if self._pos >= self._doubtful:
            self._doubtful = min(self._pos + TURN, len(self._text))
            found, length = _at_once(self._text[self._pos : self._doubtful])
            if found:
                self._turn += length
                self._pos = self._doubtful = self._pos + length
                return found
        return [self._element(MAX_ELEMENT)]

    def _element(self, longest: int | None = None) -> Any:
        """The next value, decoded at once."""
        self._peek()
        while True:
            try:
                _, end = self._scan(self._text, self._pos)
                # A number may go on behind what is in memory.
                if self._text[end : end + 1] in _ENDS or not self._more():
                    break
            except json.JSONDecodeError as error:
                is_too_long = longest is not None and len(self._text) - self._pos > longest
                if is_too_long or not self._more():
                    raise ValueError("no JSON") from error
        part = self._text[self._pos : end].encode()
        self._turn += end - self._pos
        self._pos = end
        return orjson.loads(part)

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._pos += 1
        return True

    def _peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._pos)
            assert match is not None
            self._pos = match.end()
            if self._pos < len(self._text):
                return self._text[self._pos]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Takes in as much again as is left, but no less than a window; False at the end."""
        if self._at >= len(self._body):
            return False
        left = self._text[self._pos :]
        upto = self._at + max(WINDOW, len(left))
        new = self._decode(bytes(self._body[self._at : upto]), upto >= len(self._body))
        self._values_left -= values_in(new)
        if self._values_left < 0:
            raise ValueError("too many values")
        self._text = left + new
        self._doubtful -= self._pos
        self._at, self._pos = upto, 0
        return True


def _at_once(text: str) -> tuple[list[Any], int]:
    """The elements at the beginning of the text, and where the last of them ends; none if that cannot be told."""
    length = text.rfind('","' if text[:1] == '"' else "},{") + 1
    try:
        return (orjson.loads(f"[{text[:length]}]"), length) if length else ([], 0)
    except orjson.JSONDecodeError:
        return [], 0
