"""Imports a batch of a bridge's old events: after all that is in a room, or before its first message.

A batch that is repeated imports nothing twice: by the ids that the service has chosen it is known what is there.
"""

from collections.abc import Callable, Sequence

from attrs import frozen

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.history_import.authors import Authors
from homeserver.services.history_import.batch import Batch, OldEvent
from homeserver.services.history_import.past import Past, Place
from homeserver.services.receipts import READ, READ_PRIVATE, NewReceipt, Receipts
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.members import Members
from homeserver.web.call import Requester
from matrix.errors import Forbidden, MatrixError
from matrix.event_references import references, referring_to
from matrix.events import Event
from matrix.ids import EventId, RoomId, UserId
from matrix.quiet import QUIET
from storage import imported_events as rows
from storage.change import Change
from storage.commit import Committer
from storage.database import Database
from storage.event_transactions import TransactionKey
from storage.events import Events, StoredEvent
from storage.imported_events import Imported
from storage.interning import Nids
from storage.rooms import RoomRow

MAX_WAITING = 50
OwnsUser = Callable[[str, UserId], bool]


@frozen(kw_only=True)
class ImportParts:
    """`owns_user(service, user)`: lies the user in the service's namespace?"""

    heads: Heads
    members: Members
    events: Events
    intake: Intake
    database: Database
    committer: Committer
    positions: Nids
    authors: Authors
    past: Past
    receipts: Receipts
    owns_user: OwnsUser


class HistoryImport:
    def __init__(self, parts: ImportParts) -> None:
        self._parts = parts
        self._turns = Linearizer(max_waiting=MAX_WAITING)

    async def take(self, requester: Requester, room_id: RoomId, batch: Batch) -> list[EventId]:
        """The ids that the events have, in their order. Raises: MatrixError; then a batch may be half imported."""
        parts = self._parts
        room = await parts.heads.room(room_id)
        if not await parts.members.is_joined(requester.user_id, room.room_nid):
            raise Forbidden(f"{requester.user_id} is not in the room")
        await parts.authors.check(requester, [event.sender for event in batch.events])
        async with self._turns.of(room_id):
            first = None if batch.forward else await self._first_message(room)
            there = await parts.database.read(rows.find, room.room_nid, _named_in(batch.events))
            if first is None:
                found = await self._append(requester, room, batch, there)
            else:
                found = await self._put_before(requester, await parts.past.place_before(room, first), batch, there)
        if first is None and batch.read_by is not None and found:
            await self._mark_read(requester, room_id, batch.read_by, found[-1])
        return found

    async def _first_message(self, room: RoomRow) -> StoredEvent | None:
        nid = await self._parts.database.read(rows.first_message, room.room_nid)
        return None if nid is None else (await self._parts.events.get([nid])).get(nid)

    async def _append(
        self, requester: Requester, room: RoomRow, batch: Batch, there: dict[str, Imported]
    ) -> list[EventId]:
        ids = {claimed: imported.event_id for claimed, imported in there.items()}
        found, change = list[EventId](), Change()
        try:
            for old in batch.events:
                event_id = ids.get(old.claimed_id or "")
                if event_id is None:
                    event_id = await self._send(requester, room, old, ids, quiet=not batch.notifies)
                    if old.claimed_id is not None:
                        ids[old.claimed_id] = event_id
                        change.put(rows.CLAIM, (room.room_nid, old.claimed_id, event_id, requester.appservice_id, None))
                found.append(event_id)
        finally:
            if change.rows:
                await self._parts.committer(change)
        return found

    async def _send(
        self, requester: Requester, room: RoomRow, old: OldEvent, ids: dict[str, EventId], *, quiet: bool
    ) -> EventId:
        await self._parts.authors.bring_in(requester, room.room_id, old.sender)
        content = dict(referring_to(old.content, ids))
        if quiet:
            content[QUIET] = True
        new = NewEvent(type=old.type, sender=old.sender, content=content, origin_server_ts=old.origin_server_ts)
        key = None
        if old.claimed_id is not None:
            # If we end before the id is noted, this transaction says what became of it.
            scope = f"{room.room_id} import"
            key = TransactionKey(old.sender, f"import {requester.appservice_id}", scope, old.claimed_id)
        return (await self._parts.intake.send(room.room_id, [new], transaction=key))[0].event_id

    async def _put_before(
        self, requester: Requester, place: Place, batch: Batch, there: dict[str, Imported]
    ) -> list[EventId]:
        """First all is built and judged, then what is chosen is noted, then the events are stored, oldest first."""
        parts, room = self._parts, place.room
        ids = {claimed: imported.event_id for claimed, imported in there.items()}
        # What an import that broke off has noted and not stored is made again.
        known = await parts.events.by_id(ids.values())
        new = [old for old in batch.events if ids.get(old.claimed_id or "") not in known]
        making = await parts.past.make(requester, place, new)
        made: list[tuple[OldEvent, Event]] = []
        for old in new:
            event = await making.event(old, referring_to(old.content, ids))
            made.append((old, event))
            if old.claimed_id is not None:
                ids[old.claimed_id] = event.event_id
        positions = await self._positions(room, [there.get(old.claimed_id or "") for old in new])
        change = Change()
        for (old, event), position in zip(made, positions, strict=True):
            if old.claimed_id is not None:
                row = (room.room_nid, old.claimed_id, event.event_id, requester.appservice_id, position)
                change.put(rows.CLAIM, row)
        if change.rows:
            await parts.committer(change)
        for member in making.hidden:
            await parts.past.put(place, member, None)
        for (_, event), position in zip(made, positions, strict=True):
            await parts.past.put(place, event, position)
        ids_by_event = {id(old): event.event_id for old, event in made}
        return [ids_by_event.get(id(old)) or ids[old.claimed_id or ""] for old in batch.events]

    async def _positions(self, room: RoomRow, kept: Sequence[Imported | None]) -> list[int]:
        """Negative, ascending, and before all of the room's history; those that were noted before stay."""
        lowest = await self._parts.database.read(rows.lowest_position, room.room_nid)
        wanted = sum(1 for one in kept if one is None or one.position is None)
        numbers = iter(sorted(-number for number in await self._parts.positions.take(wanted, above=-lowest)))
        return [next(numbers) if one is None or one.position is None else one.position for one in kept]

    async def _mark_read(self, requester: Requester, room_id: RoomId, user_id: UserId, last: EventId) -> None:
        """For people who are not the service's, in private: nobody else is told what they have read."""
        is_own = self._parts.owns_user(requester.appservice_id or "", user_id)
        receipt = NewReceipt(receipt_type=READ if is_own else READ_PRIVATE, event_id=last)
        try:
            await self._parts.receipts.put(user_id, room_id, [receipt])
        except MatrixError:
            # They are not in the room, or not yet: there is nothing to be read.
            return


def _named_in(events: Sequence[OldEvent]) -> set[str]:
    """The ids that the service has chosen, of these events and of those that they refer to."""
    claims = {event.claimed_id for event in events if event.claimed_id is not None}
    return claims.union(*(references(event.content) for event in events))
