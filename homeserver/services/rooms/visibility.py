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
        wanted = [stored for stored in events if stored.visible]
        own = (await self._members.rooms_of(user_id)).get(room_nid)
        if own is not None and own.membership == "join" and all(one.position >= own.position for one in wanted):
            return Seen(events=wanted, membership="join")
        member_key = ("m.room.member", user_id)
        histories = await self._histories(room_nid, [HISTORY_VISIBILITY, member_key])
        seen = [stored for stored in wanted if _allows(stored, user_id, histories, member_key)]
        return Seen(events=seen, memberships={one.nid: _membership(one, histories[member_key]) for one in seen})

    async def _histories(self, room_nid: int, keys: list[StateKey]) -> dict[StateKey, _History]:
        intervals = await self._database.read(state.history, room_nid, keys)
        found = await self._events.get(nid for _, _, _, nid in intervals)
        histories = {key: _History() for key in keys}
        for key, since, _, nid in intervals:
            if nid in found:
                histories[key].since.append(since)
                histories[key].events.append(found[nid])
        return histories


def _allows(stored: StoredEvent, user_id: str, histories: dict[StateKey, _History], member_key: StateKey) -> bool:
    setting = histories[HISTORY_VISIBILITY].before(stored.position)
    members = histories[member_key]
    member = members.before(stored.position)
    joins = (one.position for one in members.events if one.event.membership == "join")
    return can_see(
        stored.event,
        user_id,
        visibility=visibility_of(None if setting is None else setting.event.content),
        membership=None if member is None else member.event.membership,
        joined_after=any(position > stored.position for position in joins),
    )


def _membership(stored: StoredEvent, members: _History) -> str:
    """The user's own membership at the event; at a member event of the user's, the one that it makes."""
    member = members.before(stored.position + 1)
    return "leave" if member is None else member.event.membership or "leave"
