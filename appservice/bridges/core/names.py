"""Names in Matrix for ids of a network, and back.

Source: appendices, "Mapping from other character sets".
"""

import hashlib
import re

from attrs import frozen

from matrix.ids import ServerName, UserId

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789.-/")
_ESCAPED = re.compile(rb"=([0-9a-f]{2})|_([a-z_])")
# A localpart is at most 255 bytes with sigil and server name; ids that would be longer are hashed.
_MAX_LOCALPART = 150


def escape(text: str) -> str:
    """Lower case letters stay, upper case ones get an underscore, the rest is hexadecimal."""
    written = bytearray()
    for byte in text.encode():
        if byte in _PLAIN:
            written.append(byte)
        elif byte == 0x5F:
            written += b"__"
        elif 0x41 <= byte <= 0x5A:
            written += b"_" + bytes([byte + 0x20])
        else:
            written += b"=%02x" % byte
    if len(written) > _MAX_LOCALPART:
        return "=sha256-" + hashlib.sha256(text.encode()).hexdigest()
    return written.decode()


def unescape(text: str) -> str | None:
    """What was escaped to this; None for what nothing is escaped to."""

    def plain(match: "re.Match[bytes]") -> bytes:
        if match[1]:
            return bytes.fromhex(match[1].decode())
        return b"_" if match[2] == b"_" else match[2].upper()

    try:
        found = _ESCAPED.sub(plain, text.encode()).decode()
    except UnicodeDecodeError:
        return None
    return found if escape(found) == text else None


@frozen
class Template:
    """`slack_{}` for localparts of one sigil."""

    sigil: str
    pattern: str
    server_name: ServerName

    def fill(self, text: str) -> str:
        return f"{self.sigil}{self.localpart(text)}:{self.server_name}"

    def localpart(self, text: str) -> str:
        before, _, after = self.pattern.partition("{}")
        return f"{before}{escape(text)}{after}"

    def read(self, full: str) -> str | None:
        """What it was filled with; None for what is no such name."""
        before, _, after = self.pattern.partition("{}")
        localpart, _, server = full[1:].partition(":")
        is_ours = full[:1] == self.sigil and server == self.server_name
        if not is_ours or not localpart.startswith(before) or not localpart.endswith(after):
            return None
        return unescape(localpart[len(before) : len(localpart) - len(after)])

    def matches(self, full: str) -> bool:
        return self.read(full) is not None

    def regex(self) -> str:
        """For the registration."""
        before, _, after = self.pattern.partition("{}")
        return f"{self.sigil}{re.escape(before)}.+{re.escape(after)}:{re.escape(self.server_name)}"


def user_id(template: Template, person: str) -> UserId:
    return UserId(template.fill(person))


def txn_id(*words: object) -> str:
    """A transaction id for what these words say: always the same."""
    return "h" + hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()[:32]


def send_key(event_id: str) -> str:
    """The key of an outgoing message: short enough for Discord's nonce, which takes 25 characters."""
    return hashlib.sha256(event_id.encode()).hexdigest()[:24]
