"""The Authorization header by which servers know one another, and the JSON object that its signature covers.

Source: server-server API, "Request Authentication"; RFC 9110, 5.6.2 and 11.4.
"""

import re
from collections.abc import Iterator
from typing import Any, Self

from attrs import frozen

from matrix import canonical_json, unpadded_base64
from matrix.errors import CoreError, NotCanonical
from matrix.events import Json
from matrix.ids import BadIdentifier, ServerName
from matrix.signing import SigningKey

SCHEME = "X-Matrix"
# Two names of 255 bytes, a key id and a signature fit many times, with what the future may add.
MAX_CHARACTERS = 4096

# A token as RFC 9110 has it, and the colon and what else servers write without quotes: base64, brackets of IPv6.
_BARE = r"[!#$%&'*+\-.^_`|~0-9A-Za-z:/=\[\]]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]++|\\[^\x00-\x08\x0a-\x1f\x7f])*+"'
_PARAMETER = re.compile(rf"[ \t]*+([!#$%&'*+\-.^_`|~0-9A-Za-z]++)[ \t]*+=[ \t]*+({_QUOTED}|{_BARE})[ \t]*+(,|$)")
_KEY_ID = re.compile(r"ed25519:[A-Za-z0-9_]{1,200}")
_ESCAPED = re.compile(r"\\(.)")


class BadXMatrix(CoreError):
    """The header is no X-Matrix authorization, or lacks what it must say."""


@frozen
class XMatrix:
    """Who asks whom, and the signature of the request. Nothing is verified yet."""

    origin: ServerName
    destination: ServerName | None  # servers older than Matrix 1.3 do not say
    key_id: str
    signature: str

    @classmethod
    def parse(cls, header: str) -> Self:
        """Raises: BadXMatrix."""
        scheme, _, rest = header.strip(" \t").partition(" ")
        if len(header) > MAX_CHARACTERS or scheme.lower() != SCHEME.lower():
            raise BadXMatrix("not an X-Matrix header")
        parameters = _parameters(rest)
        try:
            # The specification names it `signature` in its list, `sig` in its examples; all servers write `sig`.
            signature = parameters["sig"] if "sig" in parameters else parameters["signature"]
            destination = parameters.get("destination")
            return cls(
                origin=ServerName.parse(parameters["origin"]),
                destination=None if destination is None else ServerName.parse(destination),
                key_id=_key_id(parameters["key"]),
                signature=signature,
            )
        except KeyError as error:
            raise BadXMatrix(f"the X-Matrix header lacks {error}") from error
        except BadIdentifier as error:
            raise BadXMatrix(str(error)) from error

    def header(self) -> str:
        """The header as every server reads it: one space, small letters, quotes, no escapes."""
        to = "" if self.destination is None else f',destination="{self.destination}"'
        return f'{SCHEME} origin="{self.origin}"{to},key="{self.key_id}",sig="{self.signature}"'


def sign_request(
    method: str, target: str, origin: ServerName, destination: ServerName, content: Any, key: SigningKey
) -> str:
    """The value of the Authorization header.

    `target` begins with /_matrix and ends with the query; `content` is the value of the body, None if there is none.

    Raises: NotCanonical for content that canonical JSON cannot hold.
    """
    body = b"" if content is None else canonical_json.encode(content)
    return sign_encoded(method, target, origin, destination, body, key)


def sign_encoded(
    method: str, target: str, origin: ServerName, destination: ServerName, body: bytes, key: SigningKey
) -> str:
    """As `sign_request`, of a body that is canonical JSON already; empty if there is none."""
    signed = next(signed_forms(method, target, origin, destination, body))
    return XMatrix(origin, destination, key.key_id, unpadded_base64.encode(key.sign(signed))).header()


def signed_forms(method: str, target: str, origin: ServerName, destination: ServerName, body: bytes) -> Iterator[bytes]:
    """The bytes that a request's signature may cover: with the body as it came, then with its canonical form.

    Servers sign and send canonical JSON. To take it as it came saves reading it, and holds also for what this server
    could not write again itself: deep nesting, huge integers. The rest of the object cannot be mistaken for a part of
    the body: it ends with the target, in whose text every quotation mark is escaped. Without a body nothing of one was
    signed.
    """
    if not body:
        yield canonical_json.encode(_request(method, target, origin, destination, None))
        return
    # Canonical JSON sorts the keys: content is the first.
    rest = canonical_json.encode(_request(method, target, origin, destination, None))
    yield b'{"content":' + body + b"," + rest[1:]
    try:
        content = canonical_json.decode(body)
        yield canonical_json.encode(_request(method, target, origin, destination, content))
    except NotCanonical:
        return


def _request(method: str, target: str, origin: ServerName, destination: ServerName, content: Any) -> Json:
    obj = {"method": method, "uri": target, "origin": str(origin), "destination": str(destination)}
    return obj if content is None else {**obj, "content": content}


def _parameters(text: str) -> dict[str, str]:
    """The parameters by small name. Unknown ones are kept and do not matter; none may come twice."""
    parameters: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise BadXMatrix("the X-Matrix header is malformed")
        name, value = match[1].lower(), match[2]
        if name in parameters:
            raise BadXMatrix(f"{name} is given twice")
        parameters[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        at = match.end()
    return parameters


def _key_id(text: str) -> str:
    if not _KEY_ID.fullmatch(text):
        raise BadXMatrix("the X-Matrix header names no key that we can check")
    return text
