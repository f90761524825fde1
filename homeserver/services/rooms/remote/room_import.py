"""A room that a user of ours has joined by way of another server: what that server told becomes the room here.

Theory of operation. The events are checked in batches and kept as outliers; the state is what the server told of them
that is allowed by its auth events. For a new room the state is written first, as it was before everything, and the join
stands on it. A room that was known before (all of ours had left) gets a new state and a gap in its timeline.

Source: server-server API, "Joining Rooms".
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import BEGUN, COMPLETED, PartialRooms
from homeserver.services.rooms.remote.arrival import Arrival, Outcome
from homeserver.services.rooms.remote.judging import check_by_auth_events, check_by_state, is_outlier, is_rejected
from homeserver.services.rooms.remote.outliers import Outliers
from homeserver.services.rooms.remote.pdu_checks import PduChecks
from homeserver.services.rooms.remote.placing import Placing
from homeserver.services.rooms.remote.rows import MEMBER, Placed, Rows
from homeserver.services.rooms.remote.state_before import Settled, StateBefore, difference
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.auth_needs import CREATE
from matrix.errors import AuthRuleFailed, BadEvent, Forbidden, MatrixError
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import RoomVersion
from storage import extremities, partial_rooms, room_imports, state
from storage.change import At, Change, HeadMoved
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.interning import Nids, StateKeys

ATTEMPTS = 5


@frozen(kw_only=True)
class ImportParts:
    heads: Heads
    members: Members
    events: Events
    database: Database
    committer: Committer
    state_keys: StateKeys
    room_nids: Nids
    event_nids: Nids
    checks: PduChecks
    outliers: Outliers
    states: StateBefore
    placing: Placing
    rows: Rows
    partial: PartialRooms
    is_local: IsLocal


@frozen(kw_only=True)
class _Told:
    """The join, and the state before it by the other server's word.

    `servers`: those in the room, if most members were left out.
    """

    room_nid: int
    join: Event
    known: StoredEvent | None
    auth: Sequence[StoredEvent]
    create: StoredEvent
    state: Mapping[StateKey, StoredEvent]
    servers: Sequence[ServerName] | None

    @property
    def numbers(self) -> dict[StateKey, int]:
        return {key: stored.nid for key, stored in self.state.items()}


class RoomImport:
    def __init__(self, parts: ImportParts) -> None:
        self._parts = parts
        self._heads = parts.heads
        self._events = parts.events
        self._database = parts.database

    async def import_room(
        self,
        *,
        version: RoomVersion,
        room_id: RoomId,
        join: Event,
        state: Sequence[Json],
        auth_chain: Sequence[Json],
        origin: ServerName,
        servers: Sequence[ServerName] | None = None,
    ) -> None:
        """Returns when the room and the join are durable. `join` is checked, signed by all who must.

        `servers`: the state lacks most members, and these are the servers in the room. The caller sees to it that the
        state is completed (completion.py).
        Raises: BadEvent, if what was told makes no room; Forbidden, if it does not allow the join.
        """
        events = await self._checked([*auth_chain, *state], version, room_id)
        create = _create_of(events.values(), version)
        room_nid = await self._ensure_room(room_id, version, create)
        stored = await self._parts.outliers.add(room_nid, list(events.values()))
        listed = [stored[one] for one in _ids(state, events) if one in stored]
        told = await self._judged(room_nid, join, create, listed, servers)
        for _ in range(ATTEMPTS):
            try:
                return await self._import(told)
            except HeadMoved:
                self._heads.forget(room_nid)
        raise MatrixError(503, "M_UNKNOWN", "The room is too busy, try again")

    async def _checked(self, pdus: Sequence[Json], version: RoomVersion, room_id: RoomId) -> dict[int, Event]:
        """The events by the identity of their PDU: one that is told twice is checked once."""
        objects = [pdu for pdu in pdus if isinstance(pdu, dict)]
        checked = await self._parts.checks.check(objects, version)
        return {
            id(pdu): one
            for pdu, one in zip(objects, checked, strict=True)
            if isinstance(one, Event) and one.room_id == room_id
        }

    async def _ensure_room(self, room_id: RoomId, version: RoomVersion, create: Event) -> int:
        [nid] = await self._parts.room_nids.take(1)
        room_type = create.content.get("type")
        room_type = room_type if isinstance(room_type, str) and "\x00" not in room_type else None
        room_nid = await self._database.run(
            room_imports.ensure_room, nid, room_id, version.id, create.sender, room_type
        )
        room = await self._heads.find_room(room_id)
        if room is not None and room.version != version.id:
            self._heads.forget_room(room_id)
        return room_nid

    async def _judged(
        self,
        room_nid: int,
        join: Event,
        create: Event,
        told: Sequence[StoredEvent],
        servers: Sequence[ServerName] | None,
    ) -> _Told:
        told_state = {one.event.key: one for one in told if one.event.is_state and not is_rejected(one)}
        if CREATE not in told_state or told_state[CREATE].event_id != create.event_id:
            raise BadEvent("the state that was told has no create event")
        known = await self._events.by_id([join.event_id, *join.auth_events])
        auth = [known[one] for one in join.auth_events if one in known]
        if servers is not None:
            # Who invited the user or let them in may be among the members that were left out.
            for stored in auth:
                if stored.event.is_state and not is_rejected(stored):
                    told_state.setdefault(stored.event.key, stored)
        try:
            check_by_auth_events(join, auth, told_state[CREATE])
            check_by_state(join, told_state)
        except AuthRuleFailed as error:
            raise Forbidden(error.reason) from error
        return _Told(
            room_nid=room_nid,
            join=join,
            known=known.get(join.event_id),
            auth=auth,
            create=told_state[CREATE],
            state=told_state,
            servers=servers,
        )

    async def _import(self, told: _Told) -> None:
        """Raises: HeadMoved."""
        room_id = told.join.room_id
        if await self._is_here(told.room_nid) or await self._follows_partial(told):
            return await self._join_here(told)
        async with self._heads.linearizer.of(room_id):
            settled = await self._parts.states.settled(room_id)
            if CREATE not in settled.head.state:
                change, stored = await self._import_new(told)
            else:
                change, stored = await self._import_again(told, settled)
            change.on_head(told.room_nid, settled.position, [stored.nid])
            try:
                await self._parts.committer(change)
            except BaseException:
                self._events.forget(stored)
                raise
            finally:
                self._heads.forget(told.room_nid)

    async def _is_here(self, room_nid: int) -> bool:
        """Another user of ours came in meanwhile, by another process."""
        joined = await self._parts.members.joined(room_nid)
        return any(self._parts.is_local(user_id.domain) for user_id in joined)

    async def _follows_partial(self, told: _Told) -> bool:
        """Ours had left before the room was known whole, and nothing has happened since: the old state goes on."""
        if told.servers is None or not self._parts.partial.is_partial(told.room_nid):
            return False
        return not await self._lacking(told.join)

    async def _join_here(self, told: _Told) -> None:
        numbers = told.numbers
        if told.servers is not None:
            numbers = _with_members((await self._heads.get(told.join.room_id)).state, numbers)
        lacking = await self._lacking(told.join)
        arrival = Arrival(event=told.join, auth=told.auth, create=told.create, told=dict.fromkeys(lacking, numbers))
        _, verdict = await self._parts.placing.place(arrival, strict=True)
        if verdict.outcome is not Outcome.ACCEPTED:
            raise Forbidden(verdict.reason or "the join was refused before")

    async def _lacking(self, event: Event) -> list[EventId]:
        return [one for one in event.prev_events if not await self._is_placed(one)]

    async def _import_new(self, told: _Told) -> tuple[Change, StoredEvent]:
        key_nids = await self._parts.state_keys.nids(told.state)
        nonce = secrets.token_hex(8)
        ours, others = _memberships(told.state, self._parts.is_local)
        await self._database.run(
            room_imports.write_state,
            told.room_nid,
            nonce,
            {key_nids[key]: stored.nid for key, stored in told.state.items()},
            others,
        )
        change = Change()
        change.run(lambda cur: room_imports.claim(cur, told.room_nid, nonce))
        own = {key: nid for key, nid in told.numbers.items() if key[0] == MEMBER and key[1] in ours}
        body = {"gap": True, "whole": True, **self._mark(told)}
        at = await self._parts.rows.announce_resolved(change, told.room_nid, {}, own, body)
        stored = await self._put_join(change, told, told.numbers)
        await self._put_partial(change, told, stored, 0, at)
        return change, stored

    async def _import_again(self, told: _Told, settled: Settled) -> tuple[Change, StoredEvent]:
        before, own, numbers = settled.head.state, told.join.key, told.numbers
        if told.servers is not None:
            numbers = _with_members(before, numbers)
        change = Change()
        changes = difference(before, numbers)
        # To us the join follows what we knew of the user last, be it a leave that the other server has not heard of.
        own_before = changes.pop(own, None)
        body = {"gap": True, **self._mark(told)}
        at = await self._parts.rows.announce_resolved(change, told.room_nid, before, changes, body)
        stored = await self._put_join(change, told, before)
        if own_before is not None:
            [key_nid] = (await self._parts.state_keys.nids([own])).values()
            state.put_delta(change, stored.nid, at, {key_nid: own_before})
        await self._put_partial(change, told, stored, at, at)
        return change, stored

    def _mark(self, told: _Told) -> dict[str, str]:
        """What the entry tells of how much is known."""
        if told.servers is not None:
            return {"partial": BEGUN}
        return {"partial": COMPLETED} if self._parts.partial.is_partial(told.room_nid) else {}

    async def _put_partial(self, change: Change, told: _Told, join: StoredEvent, base: At | int, at: At) -> None:
        """That the room is known in part from here on, or no longer."""
        row = await self._database.read(partial_rooms.find, told.room_nid)
        before = row.servers if row is not None and row.completed is None else ()
        for server in before:
            change.put(partial_rooms.COUNT_SERVER, (told.room_nid, server, -1, at))
        if told.servers is not None:
            for server in told.servers:
                change.put(partial_rooms.COUNT_SERVER, (told.room_nid, server, 1, at))
            servers = partial_rooms.text_array(told.servers)
            change.put(partial_rooms.PUT, (told.room_nid, join.nid, base, servers, None))
        elif before:
            change.put(partial_rooms.COMPLETE, (told.room_nid, at))

    async def _put_join(self, change: Change, told: _Told, before: Mapping[StateKey, int]) -> StoredEvent:
        lacking = await self._lacking(told.join)
        nid = told.known.nid if told.known is not None else await self._number(told)
        found = await self._events.by_id(told.join.prev_events)
        placed = Placed(
            arrival=Arrival(event=told.join, auth=told.auth, create=told.create),
            known=told.known,
            nid=nid,
            room_nid=told.room_nid,
            prev_nids=[found[one].nid for one in told.join.prev_events if one in found],
            judged_by=told.state,
        )
        stored = self._parts.rows.make(placed)
        stored.replaces = before.get(told.join.key)
        await self._parts.rows.accept(change, placed, stored)
        assert stored.entry is not None
        for event_id in lacking:
            extremities.add_missing(change, told.room_nid, event_id, stored.nid)
        extremities.add_gap(change, told.room_nid, At(stored.entry))
        return stored

    async def _number(self, told: _Told) -> int:
        [nid] = await self._parts.event_nids.take(1, above=max((one.nid for one in told.auth), default=0))
        return nid

    async def _is_placed(self, event_id: EventId) -> bool:
        stored = await self._events.find(event_id)
        return stored is not None and not is_outlier(stored)


def _create_of(events: Iterable[Event], version: RoomVersion) -> Event:
    """Raises: BadEvent."""
    found = {event.event_id: event for event in events if event.is_state and event.key == CREATE}
    if len(found) != 1:
        raise BadEvent("what was told has not one create event")
    [create] = found.values()
    if create.content.get("room_version", "1") != version.id:
        raise BadEvent("the create event says another room version")
    return create


def _with_members(before: Mapping[StateKey, int], told: Mapping[StateKey, int]) -> dict[StateKey, int]:
    """What was told without most members, and the members that were known."""
    return {**{key: nid for key, nid in before.items() if key[0] == MEMBER}, **told}


def _ids(state: Sequence[Json], events: Mapping[int, Event]) -> list[EventId]:
    return [events[id(pdu)].event_id for pdu in state if id(pdu) in events]


def _memberships(
    state: Mapping[StateKey, StoredEvent], is_local: IsLocal
) -> tuple[set[str], dict[str, tuple[str, int]]]:
    """The users of ours, and what the others are: membership and number of the member event."""
    ours: set[str] = set()
    others: dict[str, tuple[str, int]] = {}
    for key, stored in state.items():
        if key[0] != MEMBER or stored.event.membership is None:
            continue
        if is_local(UserId(key[1]).domain):
            ours.add(key[1])
        else:
            others[key[1]] = (stored.event.membership, stored.nid)
    return ours, others
