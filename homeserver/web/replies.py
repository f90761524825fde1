"""What a handler may answer, and its bytes.

A dict or a list is JSON with status 200. `Reply` sets the status, type or headers; `RawJson` is JSON that is ready
already, so that one event's bytes go to many clients uncopied; `StreamReply` is a body that is never whole in memory.
"""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

import orjson
from attrs import define, field, frozen

from homeserver.web import cors
from matrix.errors import MatrixError

_JSON_TYPE = "application/json"
# No cache between us and the client may keep what a token gave access to.
_JSON_HEADERS = b"Content-Type: application/json\r\nCache-Control: no-cache, no-store, must-revalidate\r\n"
# Source: RFC 9110, 6.4.1.
BODILESS = frozenset({204, 304})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_JSON_HEADS = {status: line + cors.BLOCK + _JSON_HEADERS for status, line in _STATUS_LINES.items()}
_NO_HEADERS: Mapping[str, str] = {}


@frozen
class Reply:
    """An answer with a status, a type or headers of its own. A dict or list as `body` becomes JSON, str UTF-8."""

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default=_NO_HEADERS, kw_only=True)


@frozen
class RawJson:
    """JSON as ready bytes, in pieces."""

    parts: Sequence[bytes]
    status: int = 200


@frozen
class StreamReply:
    """A body from an async iterator or an open binary file (closed at the end), with back-pressure.

    Without a `length` it goes out chunked. One that yields more or less than its length breaks the connection, which
    is the only way left to tell the client.
    """

    chunks: AsyncIterator[bytes] | BinaryIO
    length: int | None = None
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default=_NO_HEADERS, kw_only=True)


Answer = dict[str, Any] | list[Any] | Reply | RawJson | StreamReply


@define
class Prepared:
    """An answer ready to be written; the connection adds Content-Length, Date and Connection.

    Not frozen only because every request makes one, and freezing costs a microsecond.
    """

    status: int
    head: bytes
    parts: Sequence[bytes] = ()
    length: int | None = 0
    stream: StreamReply | None = None


def redirect(url: str, status: int = 302) -> Reply:
    """An answer that sends the client to `url`. Whether `url` may be trusted is the caller's to decide."""
    safe = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
    return Reply(status, headers={"Location": safe, "Cache-Control": "no-store"})


def dumps(value: Any) -> bytes:
    """JSON bytes. Keys may be identifiers, which are subclasses of str."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # orjson's fast path takes exact str keys only; a {UserId: ...} mapping needs this option.
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def prepare(answer: Answer) -> Prepared:
    """The bytes of an answer. Raises: TypeError or ValueError for what no handler may answer."""
    if isinstance(answer, dict | list):
        body = dumps(answer)
        return Prepared(200, _JSON_HEADS[200], (body,), len(body))
    if isinstance(answer, RawJson):
        return Prepared(answer.status, _JSON_HEADS[answer.status], answer.parts, sum(map(len, answer.parts)))
    if isinstance(answer, StreamReply):
        head = _head(answer.status, answer.content_type, answer.headers)
        return Prepared(answer.status, head, length=answer.length, stream=answer)
    if isinstance(answer, Reply):
        return _prepare_reply(answer)
    raise TypeError(f"a handler answered {type(answer).__name__}")


def prepare_error(error: MatrixError) -> Prepared:
    """The standard error response, with Retry-After where the body says when to come again.

    Source: client-server API, "Standard error response" and "Rate limiting".
    """
    headers = {}
    retry_after_ms = error.fields.get("retry_after_ms")
    if error.status == 429 and isinstance(retry_after_ms, int | float):
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_ms / 1000)))
    return _prepare_reply(Reply(error.status, error.body(), headers=headers))


def _prepare_reply(reply: Reply) -> Prepared:
    body, content_type = reply.body, reply.content_type
    if isinstance(body, dict | list):
        body = dumps(body)
        if content_type is None and not reply.headers:
            return Prepared(reply.status, _JSON_HEADS[reply.status], (body,), len(body))
        content_type = content_type or _JSON_TYPE
    elif isinstance(body, str):
        body = body.encode()
        content_type = content_type or "text/plain; charset=utf-8"
    elif body:
        content_type = content_type or "application/octet-stream"
    return Prepared(reply.status, _head(reply.status, content_type, reply.headers), (body,), len(body))


def _head(status: int, content_type: str | None, headers: Mapping[str, str]) -> bytes:
    """Status line and headers. A header of the handler's replaces the one of the same name that we would send."""
    merged = dict(cors.HEADERS)
    if content_type is not None:
        merged["Content-Type"] = content_type
    if content_type == _JSON_TYPE:
        merged["Cache-Control"] = "no-store"
    own = {name.lower() for name in headers}
    lines = [_line(name, value) for name, value in merged.items() if name.lower() not in own]
    lines += [_line(name, value) for name, value in headers.items()]
    return _STATUS_LINES[status] + b"".join(lines)


def _line(name: str, value: str) -> bytes:
    """One header line. Raises: ValueError where a value would end its line and begin another (response splitting)."""
    if any(ord(character) < 32 or ord(character) == 127 for character in name + value):
        raise ValueError(f"control character in the header {name!r}")
    return f"{name}: {value}\r\n".encode()
