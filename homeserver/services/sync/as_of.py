"""What was so at a position of the stream, for what is in memory as of now.

A window ends where the stream was when its answer began, or earlier (a full inbox cuts it short). What memory knows may
be ahead of it, by what was committed since, and a room's head even by what is not committed and may be refused. Nearly
always it is not ahead, and asking costs a comparison.
"""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from homeserver.services.rooms.heads import Head
from matrix.events import StateKey
from storage import memberships, out_of_band, state
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.memberships import Membership
from storage.stream import Stream, head_position


@frozen
class OwnPast:
    """A user's member events of a room after a position, newest first, and the one that was in force at it."""

    events: list[StoredEvent] = field(factory=list)
    before: StoredEvent | None = None

    @property
    def was_joined(self) -> bool:
        return self.before is not None and self.before.event.membership == "join"

    @property
    def has_joined(self) -> bool:
        """After the position, be it that the user has left since."""
        return any(stored.event.membership == "join" for stored in self.events)

    @property
    def has_been_away(self) -> bool:
        """Joined at the position, was there a time after it, before the newest event, when the user was not?"""
        return not all(stored.event.membership == "join" for stored in self.events[1:])

    def since_gone(self) -> list[StoredEvent]:
        """Oldest first: the event by which the user went the last time, and what came after it."""
        gone: list[StoredEvent] = []
        for stored in self.events:
            if stored.event.membership == "join":
                break
            gone.append(stored)
        return gone[::-1]


class AsOf:
    def __init__(self, *, events: Events, database: Database, stream: Stream) -> None:
        self._events = events
        self._database = database
        self._stream = stream

    async def reached(self, since: int) -> int:
        """The position, if it has been given out. Another process may have, though this one has not heard of it.

        What is beyond that, by a client's invention or a database put back, is no position: as Synapse, the newest.
        """
        if since <= self._stream.position:
            return since
        return min(since, await self._database.read(head_position))

    async def memberships(self, rooms: Mapping[int, Membership], upto: int) -> dict[int, Membership]:
        """The rows as they were once the event at `upto` was there."""
        now = {room_nid: row for room_nid, row in rooms.items() if row.position <= upto}
        for room_nid, row in [item for item in rooms.items() if item[1].position > upto]:
            before = (await self.own_past(row, upto)).before
            if before is not None and before.event.membership is not None:
                now[room_nid] = Membership(before.event.membership, before.nid, before.position)
        return now

    async def put_out(self, user_id: str, left: Mapping[int, Membership]) -> dict[int, Membership]:
        """Of the rooms that the user has left those that others have put him out of."""
        nids = [row.event_nid for row in left.values()]
        found = await self._database.read(memberships.by_others, user_id, nids) if nids else set()
        return {room_nid: row for room_nid, row in left.items() if row.event_nid in found}

    async def own_past(self, row: Membership, position: int) -> OwnPast:
        """The user's member events back from this one to the position."""
        newest = (await self._events.get([row.event_nid])).get(row.event_nid)
        if newest is not None and newest.position != row.position:
            return await self._resolved_past(newest, position)
        past: list[StoredEvent] = []
        nid: int | None = row.event_nid
        while nid is not None:
            stored = (await self._events.get([nid])).get(nid) or await self._out_of_band(nid)
            if stored is None:
                break
            if 0 < stored.position <= position:
                return OwnPast(past, stored)
            past.append(stored)
            nid = stored.replaces
        return OwnPast(past)

    async def _out_of_band(self, nid: int) -> StoredEvent | None:
        """A membership of a room that this server was not in: it has no position, and counts as after any."""
        found = (await self._database.read(out_of_band.find, [nid])).get(nid) if nid else None
        return None if found is None else found.event

    async def _resolved_past(self, newest: StoredEvent, position: int) -> OwnPast:
        """Of a membership that is the user's by state resolution: events do not say since when, intervals do."""
        key = ("m.room.member", newest.event.state_key or "")
        intervals = await self._database.read(state.history, newest.room_nid, [key])
        found = await self._events.get(nid for _, _, _, nid in intervals)
        past = [found[nid] for _, since, _, nid in intervals if nid in found and since > position]
        before = [found[nid] for _, since, _, nid in intervals if nid in found and since <= position]
        return OwnPast(past[::-1], before[-1] if before else None)

    async def state(self, head: Head, upto: int) -> dict[StateKey, int]:
        """The room's whole state; the caller's own."""
        if self._is_at(head, upto):
            return dict(head.state)
        return await self._database.read(state.after_named, head.room_nid, upto)

    async def state_of(self, head: Head, upto: int, keys: Iterable[StateKey]) -> dict[StateKey, int]:
        """Of the room's state these keys, as far as they are there."""
        wanted = list(keys)
        if self._is_at(head, upto):
            return {key: head.state[key] for key in wanted if key in head.state}
        return await self._database.read(state.at_position, head.room_nid, upto, wanted)

    def _is_at(self, head: Head, upto: int) -> bool:
        """Is the head what it was then? A later message does not matter, but it is not worth a look."""
        return isinstance(head.after, int) and head.after <= upto <= self._stream.position
