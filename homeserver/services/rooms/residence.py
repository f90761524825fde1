"""Is this server in a room, so that what it knows of the room is true and it may decide there by itself?

Source: server-server API, "Joining Rooms".
"""

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.auth_needs import CREATE
from matrix.events import Event
from matrix.ids import RoomId, UserId


class Residence:
    def __init__(self, *, heads: Heads, members: Members, partial: PartialRooms, is_local: IsLocal) -> None:
        self._heads = heads
        self._members = members
        self._partial = partial
        self._is_local = is_local

    async def is_here(self, room_id: RoomId) -> bool:
        """Is a user of ours joined? Also true of a room that nobody is in any more, if we saw the last one leave:
        no other server knows it better. Synapse lets nobody back into such a room."""
        room = await self._heads.find_room(room_id)
        if room is None:
            return False
        has_others = False
        for user_id, membership in (await self._members.members_of(room.room_nid)).items():
            if membership == "join":
                if self._is_local(user_id.domain):
                    return True
                has_others = True
        if self._partial.is_partial(room.room_nid):
            # There are others, whoever they are.
            return False
        return not has_others and await self._knows_state(room.room_nid)

    async def must_ask(self, user_id: UserId, room_id: RoomId) -> bool:
        """Are we in the room, but do not know what it has to say of a user who is not joined?"""
        room = await self._heads.find_room(room_id)
        if room is None or not self._partial.is_partial(room.room_nid):
            return False
        return not await self._members.is_joined(user_id, room.room_nid)

    async def version_of(self, room_id: RoomId) -> str | None:
        """The version of a room that we are or were in; what an invite says of one is only its sender's word."""
        room = await self._heads.find_room(room_id)
        return room.version if room is not None and await self._knows_state(room.room_nid) else None

    async def has_in_state(self, room_id: RoomId, event: Event) -> bool:
        """Is the event in the state of the room, as we know it?"""
        there = await self._heads.state_event(await self._heads.get(room_id), *event.key)
        return there is not None and there.event_id == event.event_id

    async def _knows_state(self, room_nid: int) -> bool:
        """There are also rooms of which we know nothing but an invite."""
        head = (await self._heads.get_many([room_nid])).get(room_nid)
        return head is not None and CREATE in head.state
