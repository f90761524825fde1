"""Inviting users of other servers: their server signs the invite before the room hears of it.

Source: server-server API, "Inviting to a room".
"""

from federation.outbound.client import FederationClient
from federation.outbound.errors import RemoteError
from federation.outbound.keys import ServerKeys
from homeserver.runtime.clock import Clock
from homeserver.services.remote_errors import for_client, unusable
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.receiver import Receiver
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.services.rooms.stripped import ShownState, room_state_pdus
from matrix import event_format
from matrix.errors import BadEvent, BadSignature
from matrix.events import Event, Json
from matrix.ids import ServerName, UserId
from matrix.redaction import redact
from storage.change import At, Change
from storage.events import StoredEvent
from storage.federation_queue import pass_on


class RemoteInvites:
    def __init__(
        self,
        *,
        client: FederationClient,
        keys: ServerKeys,
        heads: Heads,
        receiver: Receiver,
        shown: ShownState,
        clock: Clock,
        is_local: IsLocal,
    ) -> None:
        self._shown = shown
        self._client = client
        self._keys = keys
        self._heads = heads
        self._receiver = receiver
        self._clock = clock
        self._is_local = is_local

    async def send(self, event: Event) -> None:
        """`event` is signed by us and allowed by the room. Returns when it is in the room.

        Raises: MatrixError, in the other server's words if it refuses.
        """
        server = UserId(event.key[1]).domain
        head = await self._heads.get(event.room_id)
        shown = await room_state_pdus(self._heads, head, self._shown, event.sender)
        try:
            returned = await self._client.invite(
                server, event.room_id, event.event_id, event.pdu, version=event.version.id, room_state=shown
            )
            signed = await self._signed(server, event, returned)
        except RemoteError as error:
            raise for_client(error) from error
        except (BadEvent, BadSignature) as error:
            raise unusable(f"{server} did not sign the invite") from error
        await self.accept(signed)

    async def accept(self, event: Event) -> None:
        """Puts an invite that is signed as it must be into the room.

        One by an address is in the name of whoever invited the address, be that another server's user: then too it is
        ours to tell the other servers. Raises: MatrixError.
        """
        try:
            await self._receiver.accept(event, beside=None if self._is_local(event.sender.domain) else _pass_on)
        except BadEvent as error:
            raise unusable(f"The invite could not be made: {error}") from error

    async def _signed(self, server: ServerName, event: Event, returned: Json) -> Event:
        """Our event with the other server's signature, and nothing else of what it answered."""
        signatures = returned.get("signatures")
        theirs = signatures.get(server) if isinstance(signatures, dict) else None
        if not isinstance(theirs, dict):
            raise BadSignature("no signature")
        pdu = {**event.pdu, "signatures": {**event.pdu["signatures"], str(server): theirs}}
        signed = event_format.parse_pdu(pdu, event.version)
        await self._keys.verify_json(server, redact(signed.pdu, event.version), now_ms=self._clock.now_ms())
        return signed


def _pass_on(change: Change, stored: StoredEvent, at: At) -> None:
    pass_on(change, stored.room_nid, stored.nid, at)
