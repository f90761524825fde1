"""Which events of a room a user may see.

Most asks are for events since the user's own join, which are always his to see: they cost nothing. For older ones the
whole history of two keys of state, the room's visibility and the user's own membership, is read with one query, and
each event is judged by what was in force at its position.

Source: client-server API, "Room History Visibility".
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from homeserver.services.rooms.members import Members
from matrix.events import StateKey
from matrix.ids import UserId
from matrix.visibility import HISTORY_VISIBILITY, can_see, visibility_of
from storage import state
from storage.database import Database
from storage.events import Events, StoredEvent


@frozen
class _History:
    """The values that a key had, and since which positions; the last is still in force."""

    since: list[int] = field(factory=list)
    events: list[StoredEvent] = field(factory=list)

    def before(self, position: int) -> StoredEvent | None:
        """What was in force before the event at the position."""
        index = bisect_right(self.since, position - 1)
        return self.events[index - 1] if index else None


_State = Mapping[StateKey, StoredEvent]


@frozen(kw_only=True)
class Seen:
    """What a user sees of some events, in their order, and the user's own membership at each that it was loaded for.

    At the others it is `membership`.
    """

    events: list[StoredEvent]
    memberships: Mapping[int, str] = field(factory=dict)
    membership: str | None = None


class Visibility:
    def __init__(self, *, database: Database, events: Events, members: Members) -> None:
        self._database = database
        self._events = events
        self._members = members

    async def filter(self, user_id: UserId, room_nid: int, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Those of the events that the user may see, in their order. Whether he may ask at all is asked elsewhere."""
        return (await self.look(user_id, room_nid, events)).events

    async def look(self, user_id: UserId, room_nid: int, events: Iterable[StoredEvent]) -> Seen:
        """As `filter`, with the user's memberships."""
        return (await self.look_in_rooms(user_id, {room_nid: events}))[room_nid]

    async def look_in_rooms(
        self, user_id: UserId, events_by_room: Mapping[int, Iterable[StoredEvent]]
    ) -> dict[int, Seen]:
        """As `look`, in any number of rooms with one query."""
        rooms = await self._members.rooms_of(user_id)
        found: dict[int, Seen] = {}
        older: dict[int, list[StoredEvent]] = {}
        for room_nid, events in events_by_room.items():
            wanted = [stored for stored in events if stored.visible]
            own = rooms.get(room_nid)
            if own is not None and own.membership == "join" and all(one.position >= own.position for one in wanted):
                found[room_nid] = Seen(events=wanted, membership="join")
            else:
                older[room_nid] = wanted
        if older:
            histories = await self._histories(list(older), [HISTORY_VISIBILITY, ("m.room.member", user_id)])
            for room_nid, wanted in older.items():
                found[room_nid] = await self._judge(user_id, wanted, histories[room_nid])
        return found

    async def _judge(self, user_id: UserId, wanted: list[StoredEvent], histories: Mapping[StateKey, _History]) -> Seen:
        before = {stored.nid: _before(stored, histories) for stored in wanted if stored.position > 0}
        before |= await self._before_fetched([stored for stored in wanted if stored.position < 0], histories)
        members = histories[("m.room.member", user_id)]
        seen = [stored for stored in wanted if _allows(stored, user_id, before[stored.nid], members)]
        return Seen(events=seen, memberships={one.nid: _membership(one, user_id, before[one.nid]) for one in seen})

    async def _before_fetched(
        self, fetched: list[StoredEvent], histories: Mapping[StateKey, _History]
    ) -> dict[int, _State]:
        """History that was fetched later lies before all that positions tell: each event has a state of its own."""
        if not fetched:
            return {}
        nids = [stored.nid for stored in fetched]
        states = await self._database.read(state.keys_before, nids, histories)
        events = await self._events.get({nid for one in states.values() for nid in one.values()})
        return {
            nid: {key: events[other] for key, other in states.get(nid, {}).items() if other in events} for nid in nids
        }

    async def _histories(self, room_nids: list[int], keys: list[StateKey]) -> dict[int, dict[StateKey, _History]]:
        by_room = await self._database.read(state.histories, room_nids, keys)
        found = await self._events.get(nid for intervals in by_room.values() for _, _, _, nid in intervals)
        histories = {room_nid: {key: _History() for key in keys} for room_nid in room_nids}
        for room_nid, intervals in by_room.items():
            for key, since, _, nid in intervals:
                if nid in found:
                    histories[room_nid][key].since.append(since)
                    histories[room_nid][key].events.append(found[nid])
        return histories


def _before(stored: StoredEvent, histories: Mapping[StateKey, _History]) -> _State:
    """What was in force before the event at its position."""
    found = {key: history.before(stored.position) for key, history in histories.items()}
    return {key: one for key, one in found.items() if one is not None}


def _allows(stored: StoredEvent, user_id: str, before: _State, members: _History) -> bool:
    setting = before.get(HISTORY_VISIBILITY)
    member = before.get(("m.room.member", user_id))
    joins = (since for since, one in zip(members.since, members.events, strict=True) if one.event.membership == "join")
    return can_see(
        stored.event,
        user_id,
        visibility=visibility_of(None if setting is None else setting.event.content),
        membership=None if member is None else member.event.membership,
        joined_after=any(position > stored.position for position in joins),
    )


def _membership(stored: StoredEvent, user_id: str, before: _State) -> str:
    """The user's own membership at the event; at a member event of the user's, the one that it makes."""
    if stored.event.type == "m.room.member" and stored.event.state_key == user_id and stored.became_state:
        return stored.event.membership or "leave"
    member = before.get(("m.room.member", user_id))
    return "leave" if member is None else member.event.membership or "leave"
