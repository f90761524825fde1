"""Asks a room's policy server about events: ours before they are sent, those of others when they come without its word.

Theory of operation. What the policy server signs is the whole event, with what it follows. So an event of ours is made
first, without being sent; the policy server is asked while the room goes on; then the event comes into the room as one
of another server does, beside what came meanwhile if something did. Only so many events of one room are on their way
at once, or they would all follow the same one.

A policy server that is not reached has not signed: then the event is not sent, or is soft-failed. Whoever may change
the room's `m.room.policy`, which it is never asked about, can do without it.

Source: server-server API, "Policy Servers".
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from attrs import frozen

from federation.outbound.client import FederationClient
from federation.outbound.errors import Refused, RemoteError
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.remote_errors import for_client, unusable
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Admit, Decision, Intake, NewEvent
from homeserver.services.rooms.remote.receiver import Receiver
from matrix.errors import MatrixError, TooLarge
from matrix.event_format import MAX_PDU_BYTES
from matrix.events import Event
from matrix.ids import RoomId, ServerName
from matrix.policy_server import NAMED_BY, RoomPolicy, is_exempt, policy_in, signature_in, with_signature
from storage import event_transactions
from storage.change import AlreadyThere, At, Change
from storage.event_transactions import TransactionKey
from storage.events import StoredEvent

logger = logging.getLogger(__name__)

# Events of one room that wait for its policy server at once; and how many more may wait for their turn.
AT_ONCE, MAX_WAITING = 4, 200

HostsOf = Callable[[int], Awaitable[Collection[ServerName]]]


class OwnPolicy(Protocol):
    """This server as a policy server."""

    async def sign(self, event: Event) -> str:
        """Its signature. Raises: MatrixError, if the rules refuse the event."""


@frozen(kw_only=True)
class PolicingParts:
    heads: Heads
    intake: Intake
    receiver: Receiver
    client: FederationClient
    hosts_of: HostsOf


class Policing:
    """`own` is None where this server is no policy server."""

    def __init__(self, parts: PolicingParts, *, own: OwnPolicy | None, server_name: ServerName, clock: Clock) -> None:
        self._heads = parts.heads
        self._intake = parts.intake
        self._receiver = parts.receiver
        self._client = parts.client
        self._hosts_of = parts.hosts_of
        self._own = own
        self._server_name = server_name
        self._clock = clock
        self._turns = Linearizer(max_waiting=MAX_WAITING // AT_ONCE)
        self._numbers = itertools.count()

    async def applies(self, room_id: RoomId) -> bool:
        """Has the room a policy server? For most rooms this is one look into memory."""
        head = await self._heads.get(room_id)
        return await self._policy(head) is not None

    async def send(
        self,
        room_id: RoomId,
        new: Sequence[NewEvent] | Decision,
        transaction: TransactionKey | None,
        admit: Admit | None,
    ) -> list[StoredEvent]:
        """As `Intake.send`, but one event after another: of several those before the first that is refused are sent."""
        sent: list[StoredEvent] = []
        async with self._turns.of((room_id, next(self._numbers) % AT_ONCE)):
            head = await self._heads.get(room_id)
            wanted = await new(head) if callable(new) else new
            for one in wanted:
                event = await self._intake.draft(room_id, one, signed=False)
                if admit is not None and not sent:
                    await admit()
                signed = await self.sign(event)
                sent.append(await self._accept(signed, None if sent else transaction))
        return sent

    async def sign(self, event: Event) -> Event:
        """An event of ours with the signature that the room asks for, if it asks. Raises: MatrixError."""
        if is_exempt(event.type, event.state_key):
            return event
        policy = await self._policy(await self._heads.get(event.room_id))
        return event if policy is None else await self._signed(policy, event, by_user=True)

    async def check(self, event: Event) -> tuple[Event, str | None]:
        """An event of another server, with the signature; and why the policy server does not want it, if so."""
        if is_exempt(event.type, event.state_key):
            return event, None
        head = await self._heads.get(event.room_id)
        policy = await self._policy(head)
        if policy is None or policy.has_signed(event):
            return event, None
        try:
            return await self._signed(policy, event, by_user=False), None
        except MatrixError as error:
            return event, f"the policy server does not recommend it: {error.message}"

    async def _policy(self, head: Head) -> RoomPolicy | None:
        """Source: "Determining if a Policy Server is enabled in a room"."""
        if not any(key in head.state for key in NAMED_BY):
            return None
        state = await self._heads.state_events(head, NAMED_BY)
        policy = policy_in({key: stored.event.content for key, stored in state.items()})
        if policy is None or policy.via not in await self._hosts_of(head.room_nid):
            return None
        # Whom the room takes for a policy server, without it being one: it cannot be asked, least of all by itself.
        return None if policy.via == self._server_name and self._own is None else policy

    async def _signed(self, policy: RoomPolicy, event: Event, *, by_user: bool) -> Event:
        """Raises: MatrixError."""
        if policy.via == self._server_name and self._own is not None:
            signature: str | None = await self._own.sign(event)
        else:
            signature = await self._ask(policy.via, event, by_user=by_user)
        if signature is None or not policy.verifies(event, signature):
            raise unusable(f"The policy server {policy.via} did not sign the event with the room's key")
        signed = with_signature(event, policy.via, signature)
        if len(signed.canonical) > MAX_PDU_BYTES:
            raise TooLarge("With the policy server's signature the event is too large")
        return signed

    async def _ask(self, via: ServerName, event: Event, *, by_user: bool) -> str | None:
        try:
            return signature_in(await self._client.policy_sign(via, event.pdu, by_user=by_user), via)
        except Refused as error:
            # "That error SHOULD be provided to the client verbatim", but for what speaks of our request to it.
            raise for_client(error) from error
        except RemoteError as error:
            logger.info("The policy server of %s: %s", event.room_id, error)
            raise unusable(f"The room's policy server {via} cannot be reached: try again later") from error

    async def _accept(self, event: Event, transaction: TransactionKey | None) -> StoredEvent:
        """Puts the event into the room. Raises: MatrixError."""

        def beside(change: Change, stored: StoredEvent, at: At) -> None:
            if transaction is not None:
                key = (transaction.user_id, transaction.device, transaction.scope, transaction.transaction_id)
                change.put(event_transactions.ADD, (*key, stored.nid, self._clock.now_ms()))
                stored.sent_by = transaction

        try:
            return await self._receiver.accept(event, beside=beside)
        except AlreadyThere:
            before = None if transaction is None else await self._intake.sent_before(transaction)
            if before is None:
                raise
            return before
