"""With which servers this one speaks, if the operator lets users know.

Source: Synapse, GET /_synapse/client/v1/config/federation_whitelist.
"""

from collections.abc import Sequence

from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import route
from matrix.ids import ServerName


class FederationWhitelistApi:
    """`allowed`: None for all servers."""

    def __init__(self, *, allowed: Sequence[ServerName] | None) -> None:
        self._allowed = allowed

    @route("GET", "/_synapse/client/v1/config/federation_whitelist")
    async def get_whitelist(self, call: Call) -> Answer:
        return {"whitelist_enabled": self._allowed is not None, "whitelist": list(self._allowed or ())}
