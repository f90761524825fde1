"""Events that other servers send: into the rooms that we are in. Of other rooms only what ends an invite concerns us.

Source: server-server API, "Transactions", "PDUs".
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.pdu_checks import Faulty, PduChecks
from homeserver.services.rooms.remote_membership.received import ReceivedInvites
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.errors import BadEvent
from matrix.events import Json
from matrix.ids import BadIdentifier, EventId, RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS
from storage.rooms import RoomRow

logger = logging.getLogger(__name__)

# The servers with a user who is joined to the room, by its number.
HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]


class Receive(Protocol):
    """As `homeserver.services.rooms.remote.receiver.Receiver` has it."""

    def __call__(self, origin: ServerName, room_id: RoomId, pdu: Json) -> Awaitable[None]: ...


class Follow(Protocol):
    """As `homeserver.services.rooms.remote.receiver.Receiver` has it."""

    def __call__(
        self, origin: ServerName, room_id: RoomId, pdus: Sequence[tuple[EventId | None, Json]]
    ) -> Awaitable[int]: ...


class Door:
    """`is_local` is asked of server names."""

    def __init__(
        self,
        *,
        heads: Heads,
        hosts_of: HostsOf,
        receive: Receive,
        follow: Follow,
        checks: PduChecks,
        received: ReceivedInvites,
        is_local: IsLocal,
    ) -> None:
        self._heads = heads
        self._hosts_of = hosts_of
        self._receive = receive
        self._follow = follow
        self._checks = checks
        self._received = received
        self._is_local = is_local

    async def receive(self, origin: ServerName, room_id: RoomId, pdu: Json) -> None:
        """Raises: what the room's receiver raises; BadEvent, NotFound."""
        room = await self._heads.room(room_id)
        if await self._are_we_in(room):
            await self._receive(origin, room_id, pdu)
            return
        if not self._may_concern_us(pdu) or not await self._withdraw(origin, room, pdu):
            # As Synapse: an event of a room that we have left is of no use, and no fault of its sender.
            logger.debug("An event of %s in %s, where we are not, was dropped", origin, room_id)

    async def follow(self, origin: ServerName, room_id: RoomId, pdus: Sequence[tuple[EventId | None, Json]]) -> int:
        """How many, from the first on, simply followed what the room has, and were taken in. Raises: NotFound."""
        room = await self._heads.room(room_id)
        return await self._follow(origin, room_id, pdus) if await self._are_we_in(room) else 0

    async def _are_we_in(self, room: RoomRow) -> bool:
        return any(self._is_local(host) for host in await self._hosts_of(room.room_nid))

    async def _withdraw(self, origin: ServerName, room: RoomRow, pdu: Json) -> bool:
        [checked] = await self._checks.check([pdu], ROOM_VERSIONS[room.version])
        if isinstance(checked, Faulty):
            raise BadEvent(checked.reason)
        return checked.room_id == room.room_id and await self._received.withdraw(checked, origin)

    def _may_concern_us(self, pdu: Json) -> bool:
        """Before any signature is checked: a member event of a user of ours?"""
        state_key = pdu.get("state_key")
        if pdu.get("type") != "m.room.member" or not isinstance(state_key, str):
            return False
        try:
            return self._is_local(UserId.parse(state_key).domain)
        except BadIdentifier:
            return False
