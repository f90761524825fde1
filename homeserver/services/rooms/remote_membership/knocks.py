"""Knocking at a room by way of a server that is in it.

Source: server-server API, "Knocking upon a room".
"""

from collections.abc import Sequence

from federation.outbound.client import FederationClient
from homeserver.services.rooms.remote_membership.attempts import Attempts
from homeserver.services.rooms.remote_membership.handshake import Handshake
from homeserver.services.rooms.remote_membership.out_of_band import OutOfBand
from homeserver.services.rooms.remote_membership.template import Wanted
from homeserver.services.rooms.stripped import stripped
from matrix.events import Json
from matrix.ids import EventId, RoomId, ServerName, UserId


class RemoteKnocks:
    """The caller holds the user's turn."""

    def __init__(
        self, *, handshake: Handshake, client: FederationClient, attempts: Attempts, out_of_band: OutOfBand
    ) -> None:
        self._handshake = handshake
        self._client = client
        self._attempts = attempts
        self._out_of_band = out_of_band

    async def knock(self, user_id: UserId, room_id: RoomId, content: Json, servers: Sequence[ServerName]) -> EventId:
        """Raises: MatrixError."""
        wanted = Wanted("knock", room_id, user_id)

        async def ask(server: ServerName) -> EventId:
            event = await self._handshake.prepare(server, wanted, content)
            answer = await self._client.send_knock(server, room_id, event.event_id, event.pdu)
            await self._out_of_band.put(event, server, stripped(answer.get("knock_room_state")))
            return event.event_id

        return await self._attempts.first("knock at the room", servers, ask)
