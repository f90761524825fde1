"""Rooms of other servers that are too large for this one: their servers say how large before anybody joins.

A room whose size no server tells is joined all the same: most servers of today do not tell it, and a join fetches what
there is in any case.

Source: Synapse, `limit_remote_rooms`; its GET /_matrix/federation/unstable/rooms/{roomId}/complexity.
"""

import logging
from collections.abc import Sequence

from attrs import frozen

from federation.outbound.client import FederationClient
from federation.outbound.errors import RemoteError
from homeserver.web.call import Requester
from matrix.errors import BadRequest
from matrix.ids import RoomId, ServerName

logger = logging.getLogger(__name__)

# So many servers are asked, one after another.
MAX_ASKED = 3
# State events of a room of complexity 1.
UNIT = 500


@frozen(kw_only=True)
class SizeRules:
    """`most`: a complexity. `message`: what is told to who would join."""

    most: float
    message: str
    admins_may: bool


class RoomSizes:
    """`rules` is None where rooms may be of any size."""

    def __init__(self, *, rules: SizeRules | None, client: FederationClient) -> None:
        self._rules = rules
        self._client = client

    async def check(self, requester: Requester, room_id: RoomId, servers: Sequence[ServerName]) -> None:
        """Raises: BadRequest M_RESOURCE_LIMIT_EXCEEDED."""
        rules = self._rules
        if rules is None or (rules.admins_may and requester.is_admin):
            return
        for server in servers[:MAX_ASKED]:
            try:
                complexity = await self._client.room_complexity(server, room_id)
            except RemoteError as error:
                logger.info("The size of %s: %s", room_id, error)
                continue
            if complexity > rules.most:
                raise BadRequest(rules.message, "M_RESOURCE_LIMIT_EXCEEDED")
            return


def complexity_of(state_events: int) -> float:
    return round(state_events / UNIT, 2)
