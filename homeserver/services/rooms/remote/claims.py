"""What an event claims of members whom we do not know yet: in a room that is not known whole, its auth events count.

The member events among them are taken for the state where nothing else is known of these users, and count beside it
where something is. So whoever speaks in the room becomes known by what they say. Whether it was true is found out when
the state is completed (completion.py): all that was judged so is judged again.

Source: MSC3902, "Handling incoming events".
"""

from collections.abc import Collection, Mapping

from attrs import frozen

from homeserver.services.rooms.heads import Head
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote.arrival import Arrival
from homeserver.services.rooms.remote.judging import is_rejected
from homeserver.services.rooms.remote.state_before import StateBefore
from matrix.events import StateKey
from storage.state import ABSENT

MEMBER = "m.room.member"


@frozen
class Claimed:
    """`before`: the state before an event, with what it claims; `unknown`: the keys that nobody else vouches for."""

    before: dict[StateKey, int]
    unknown: Collection[StateKey] = ()


class Claims:
    def __init__(self, *, partial: PartialRooms, states: StateBefore) -> None:
        self._partial = partial
        self._states = states

    def count_in(self, room_nid: int) -> bool:
        return self._partial.is_partial(room_nid)

    async def add(
        self, head: Head, base: Mapping[StateKey, int], arrival: Arrival, before: dict[StateKey, int]
    ) -> Claimed:
        """To the state before an event: `base` but for `before`."""
        if not self._partial.is_partial(head.room_nid):
            return Claimed(before)
        claimed = {
            stored.event.key: stored.nid
            for stored in arrival.auth
            if stored.event.type == MEMBER and stored.event.is_state and not is_rejected(stored)
        }
        known = {key: before.get(key, base.get(key, ABSENT)) for key in claimed}
        unknown = {key: claimed[key] for key, nid in known.items() if nid == ABSENT}
        with_unknown = {**before, **unknown}
        other = {key: claimed[key] for key, nid in known.items() if nid not in (ABSENT, claimed[key])}
        if not other:
            return Claimed(with_unknown, unknown.keys())
        # What is known may be as wrong as what is claimed.
        resolved = await self._states.resolve(head, base, [with_unknown, {**with_unknown, **other}])
        return Claimed(resolved, unknown.keys())
