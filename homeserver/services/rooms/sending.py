"""What clients send into rooms: messages, state, redactions.

A request that is repeated with its transaction id gets the answer of the first, whatever the room has become since.

Source: client-server API, "Sending events to a room", "Redactions", "Transaction identifiers".
"""

from collections.abc import Sequence

from attrs import evolve, frozen

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.content_checks import REDACTION, ContentChecks
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.services.rooms.intake import Decision, Intake, NewEvent
from homeserver.services.rooms.member_content import MEMBER
from homeserver.services.rooms.membership import Membership
from homeserver.web.call import Requester
from matrix.errors import Forbidden, MatrixError
from matrix.events import Json
from matrix.ids import EventId, RoomId, UserId
from storage.event_transactions import TransactionKey
from storage.events import StoredEvent

# Repeated requests follow soon: those sent lately are known without a query.
MAX_REMEMBERED = 10_000


@frozen(kw_only=True)
class Outgoing:
    """What a client wants to send. `origin_server_ts` is for application services."""

    type: str
    content: Json
    origin_server_ts: int | None = None


def device_key(requester: Requester) -> str:
    """Whose transaction ids they are: the device's, or the token's that has none. As /sync asks for them."""
    return requester.device_id or f"token {requester.token_id}"


class Sending:
    """Everything raises Forbidden (also for a room that we do not know), BadRequest, TooLarge, LimitExceeded."""

    def __init__(
        self,
        *,
        intake: Intake,
        heads: Heads,
        allowance: Allowance,
        checks: ContentChecks,
        membership: Membership,
        imported: ImportedIds,
    ) -> None:
        self._intake = intake
        self._heads = heads
        self._allowance = allowance
        self._checks = checks
        self._membership = membership
        self._imported = imported
        self._sent: Lru[TransactionKey, EventId] = Lru("sent_transactions", MAX_REMEMBERED)

    async def send(
        self, requester: Requester, room_id: RoomId, out: Outgoing, transaction_id: str | None = None
    ) -> EventId:
        if requester.appservice_id is not None:
            out = evolve(out, content=await self._imported.in_content(requester, room_id, out.content))
        redacts = out.content.get("redacts")
        if out.type == REDACTION and isinstance(redacts, str) and "\x00" not in redacts:
            return await self.redact(requester, room_id, EventId(redacts), out, transaction_id)
        new = _event(requester, out)

        async def decide(head: Head) -> Sequence[NewEvent]:
            await self._checks.check_message(head, new)
            return [new]

        key = _key(requester, transaction_id, f"{room_id} send {out.type}")
        if key is not None and (sent := self._sent.get(key)) is not None:
            return sent
        await self._allowance.message(requester)
        return await self._send(room_id, decide, key)

    async def redact(
        self,
        requester: Requester,
        room_id: RoomId,
        redacts: EventId,
        out: Outgoing,
        transaction_id: str | None = None,
    ) -> EventId:
        """`out` is the redaction itself. What it redacts need not be here."""
        redacts = await self._imported.real(requester, room_id, redacts)
        content = {key: value for key, value in out.content.items() if key != "redacts"}
        new = NewEvent(
            type=REDACTION,
            sender=requester.user_id,
            content=content,
            redacts=redacts,
            origin_server_ts=out.origin_server_ts,
        )
        charged = False

        async def decide(head: Head) -> Sequence[NewEvent]:
            nonlocal charged
            target = await self._checks.check_redaction(head, new)
            if not charged:
                charged = True
                own = target is not None and target.event.sender == requester.user_id
                await self._allowance.redaction(requester, own=own)
            return [new]

        key = _key(requester, transaction_id, f"{room_id} redact {redacts}")
        if key is not None and (sent := self._sent.get(key)) is not None:
            return sent
        return await self._send(room_id, decide, key)

    async def put_state(self, requester: Requester, room_id: RoomId, out: Outgoing, state_key: str) -> EventId:
        """The event's id; that of the one in force, if the same user has said the same."""
        if out.type == MEMBER:
            target, at_ms = UserId.parse(state_key), out.origin_server_ts
            return await self._membership.set_state(requester, room_id, target, out.content, at_ms=at_ms)
        new = _event(requester, out, state_key)
        await self._allowance.message(requester)
        await self._checks.look_up(room_id, new)
        there: list[StoredEvent] = []

        async def decide(head: Head) -> Sequence[NewEvent]:
            old = await self._heads.state_event(head, new.type, state_key)
            if old is not None and old.event.sender == new.sender and old.event.content == new.content:
                there[:] = [old]
                return []
            await self._checks.check_state(head, new)
            return [new]

        sent = await self._send_to_known(room_id, decide)
        return (sent or there)[0].event_id

    async def _send(self, room_id: RoomId, decide: Decision, key: TransactionKey | None) -> EventId:
        """Sends one event. Who may no longer send still hears what became of the request that is repeated."""
        try:
            sent = await self._send_to_known(room_id, decide, key)
        except MatrixError:
            before = None if key is None else await self._intake.sent_before(key)
            if before is None:
                raise
            sent = [before]
        if key is not None:
            self._sent.set(key, sent[0].event_id)
        return sent[0].event_id

    async def _send_to_known(
        self, room_id: RoomId, decide: Decision, key: TransactionKey | None = None
    ) -> list[StoredEvent]:
        if await self._heads.find_room(room_id) is None:
            # Whether a room exists is nobody's business who is not in it.
            raise Forbidden("You are not in the room")
        return await self._intake.send(room_id, decide, transaction=key)


def _event(requester: Requester, out: Outgoing, state_key: str | None = None) -> NewEvent:
    return NewEvent(
        type=out.type,
        sender=requester.user_id,
        content=out.content,
        state_key=state_key,
        origin_server_ts=out.origin_server_ts,
    )


def _key(requester: Requester, transaction_id: str | None, scope: str) -> TransactionKey | None:
    if transaction_id is None:
        return None
    return TransactionKey(requester.user_id, device_key(requester), scope, transaction_id)
