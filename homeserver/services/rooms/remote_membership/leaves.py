"""Leaving a room that we are not in: an invite is rejected, a knock taken back.

Source: server-server API, "Leaving Rooms (Rejecting Invites)".
"""

import logging
from collections.abc import Sequence

from federation.outbound.client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.intake import Signer
from homeserver.services.rooms.remote_membership.attempts import Attempts
from homeserver.services.rooms.remote_membership.handshake import Handshake
from homeserver.services.rooms.remote_membership.out_of_band import Known, OutOfBand
from homeserver.services.rooms.remote_membership.template import Wanted, new_event_id
from matrix import unpadded_base64
from matrix.building import Draft, Reference, build
from matrix.errors import MatrixError
from matrix.events import Event, Json
from matrix.hashing import reference_hash
from matrix.ids import EventId, ServerName, UserId

logger = logging.getLogger(__name__)


class RemoteLeaves:
    """The caller holds the user's turn."""

    def __init__(
        self,
        *,
        handshake: Handshake,
        client: FederationClient,
        attempts: Attempts,
        out_of_band: OutOfBand,
        signer: Signer,
        clock: Clock,
    ) -> None:
        self._handshake = handshake
        self._client = client
        self._attempts = attempts
        self._out_of_band = out_of_band
        self._signer = signer
        self._clock = clock

    async def leave(self, user_id: UserId, known: Known, content: Json, servers: Sequence[ServerName]) -> EventId:
        """Rejects an invite or takes back a knock. Where no server hears it, it holds for us alone: as Synapse."""
        room_id = known.event.room_id
        wanted = Wanted("leave", room_id, user_id)

        async def ask(server: ServerName) -> Event:
            event = await self._handshake.prepare(server, wanted, content)
            await self._client.send_leave(server, room_id, event.event_id, event.pdu)
            return event

        try:
            event = await self._attempts.first("leave the room", servers, ask)
        except MatrixError as error:
            logger.info("%s leaves %s for us alone: %s", user_id, room_id, error)
            event = self._after(known.event, user_id, content)
        await self._out_of_band.put(event, known.server or self._signer.server_name, [])
        return event.event_id

    def _after(self, before: Event, user_id: UserId, content: Json) -> Event:
        """A leave that follows nothing but the invite or knock that it ends."""
        draft = Draft(
            type="m.room.member",
            sender=user_id,
            state_key=user_id,
            content=content,
            room_id=before.room_id,
            origin_server_ts=self._clock.now_ms(),
            depth=before.depth + 1,
            prev_events=[_reference(before)],
            auth_events=[_reference(before)],
            event_id=None if before.version.event_id_is_hash else new_event_id(self._signer.server_name),
        )
        return build(draft, before.version, self._signer.server_name, self._signer.key)


def _reference(event: Event) -> Reference:
    if event.version.event_id_is_hash:
        return event.event_id
    return event.event_id, unpadded_base64.encode(reference_hash(event.pdu, event.version))
