"""What a client asks before it knows anything: versions of the spec, and where the homeserver is.

Source: client-server API, "API Versions", "Well-known URIs"; server-server API, "Resolving server names".
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import frozen

from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route
from matrix.errors import NotFound

# All of them, each by name: some clients look for one version in the list instead of comparing.
VERSIONS = (
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1",
    *(f"v1.{minor}" for minor in range(1, 20)),
)  # fmt: skip

# It changes with a new version of Hearth only.
_CACHED = {"Cache-Control": "public, max-age=600"}


@frozen
class WellKnown:
    """The documents under /.well-known/matrix; those that are None answer 404, for another server has them."""

    client: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    support: dict[str, Any] | None = None


class VersionsApi:
    """`unstable_features`: those that this server has, by name."""

    def __init__(self, *, unstable_features: Mapping[str, bool], well_known: WellKnown) -> None:
        self._versions = _document({"versions": VERSIONS, "unstable_features": dict(unstable_features)})
        self._well_known = well_known

    @route("GET", "/_matrix/client/versions", access=Access.PUBLIC)
    async def get_versions(self, call: Call) -> Answer:
        # The token is not looked at: all users have the same features, and one whose token has expired may ask too.
        return self._versions

    @route("GET", "/.well-known/matrix/client", access=Access.PUBLIC)
    async def get_client(self, call: Call) -> Answer:
        return _found(self._well_known.client)

    @route("GET", "/.well-known/matrix/server", access=Access.PUBLIC)
    async def get_server(self, call: Call) -> Answer:
        return _found(self._well_known.server)

    @route("GET", "/.well-known/matrix/support", access=Access.PUBLIC)
    async def get_support(self, call: Call) -> Answer:
        return _found(self._well_known.support)


def _found(document: dict[str, Any] | None) -> Answer:
    if document is None:
        raise NotFound(".well-known is not served here")
    return document


def _document(value: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps(value), "application/json", headers=_CACHED)
