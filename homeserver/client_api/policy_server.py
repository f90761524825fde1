"""Clients ask for the key that they are to write into a room's `m.room.policy`.

Source: client-server API, GET /.well-known/matrix/policy_server.
"""

from collections.abc import Mapping

from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import NotFound


class PolicyServerApi:
    """`public_keys` is None where this server is no policy server."""

    def __init__(self, *, public_keys: Mapping[str, str] | None) -> None:
        self._public_keys = public_keys

    @route("GET", "/.well-known/matrix/policy_server", access=Access.PUBLIC)
    async def get_keys(self, call: Call) -> Answer:
        if self._public_keys is None:
            raise NotFound("This server is no policy server")
        return {"public_keys": dict(self._public_keys)}
