"""Routes for other servers: each server takes its turns, so that none of them takes the time of the others."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from homeserver.runtime.turns import Turns
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.ids import ServerName

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
# A PDU has 64 kB at most; JSON may say the same in three times as many bytes.
PDU_BODY_BYTES = 256 * 1024

F = TypeVar("F", bound=Callable[..., Awaitable[Answer]])


class ServerApi:
    """An object with routes of `server_route`."""

    def __init__(self, *, turns: Turns) -> None:
        self.turns = turns


def server_route(method: str, *paths: str, max_body_bytes: int = PDU_BODY_BYTES) -> Callable[[F], F]:
    """Declares a handler of a `ServerApi` for signed requests. It runs when it is the server's turn."""

    def declare(function: F) -> F:
        @functools.wraps(function)
        async def in_turn(self: ServerApi, call: Call, **parameters: Any) -> Answer:
            async with self.turns.of(origin_of(call)):
                return await function(self, call, **parameters)

        limit = None if method == "GET" else max_body_bytes
        return route(method, *paths, access=Access.SERVER, max_body_bytes=limit)(in_turn)  # type: ignore[return-value]

    return declare


def origin_of(call: Call) -> ServerName:
    """The server that asks."""
    assert call.origin is not None, "the route's access does not promise an origin"
    return call.origin
