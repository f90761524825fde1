"""HTTP/1.1 on a unix socket, as much of it as a Docker client speaks: one answer to each request, then the end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

MAX_BODY_BYTES = 64 * 1024 * 1024


@frozen
class Request:
    """What a client asks; `query` has the last value of each name, `pairs` all of them."""

    method: str
    path: str
    pairs: list[tuple[str, str]]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@frozen
class Reply:
    """An answer. `value` that is no bytes becomes JSON."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(factory=dict)


Answer = Callable[[Request], Awaitable[Reply]]


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Listens on a unix socket until the server is closed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_written(await answer(await _read(reader))))
            await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client is gone
        finally:
            writer.close()

    return await asyncio.start_unix_server(connected, path)


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(min(int(headers.get("content-length", 0)), MAX_BODY_BYTES))
    parts = urlsplit(target)
    return Request(method, unquote(parts.path), parse_qsl(parts.query), body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        if len(body) + size > MAX_BODY_BYTES:
            raise EOFError("too much")
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def _written(reply: Reply) -> bytes:
    raw = isinstance(reply.value, bytes)
    body = reply.value if raw else b"" if reply.value is None else json.dumps(reply.value).encode()
    headers = {
        "Content-Type": "application/octet-stream" if raw else "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **reply.headers,
    }
    head = f"HTTP/1.1 {reply.status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body
