"""A space and the rooms that it lists, for another server, as far as any of its users may look in or join.

Source: server-server API, GET /hierarchy.
"""

from collections.abc import Sequence

from homeserver.services.rooms.descriptions import allowed_rooms_of, is_open, room_type_of, summary
from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.hierarchy import SPACE
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.space_children import child_states, listed_children
from matrix.errors import NotFound
from matrix.events import Event, Json
from matrix.ids import RoomId, ServerName
from storage import published_rooms as rows
from storage.database import Database
from storage.published_rooms import RoomFacts
from storage.rooms import find_rooms_by_id

# As Synapse: the children of one space of which more is told than their names.
MAX_CHILDREN = 50


class SpacesForServers:
    def __init__(self, *, admission: Admission, members: Members, database: Database) -> None:
        self._admission = admission
        self._members = members
        self._database = database

    async def of(self, origin: ServerName, room_id: RoomId, *, suggested_only: bool) -> Json:
        """The body of the answer. Raises: NotFound, also for a room that the server may know nothing of."""
        facts = (await self._facts([room_id])).get(room_id)
        if facts is None or not await self._may_see(origin, facts):
            raise NotFound("Room does not exist.")
        children = await self._children(facts, suggested_only)
        told, inaccessible = await self._sorted(origin, [child.key[1] for child in children[:MAX_CHILDREN]])
        return {
            "room": {**summary(facts), "children_state": child_states(children)},
            "children": told,
            "inaccessible_children": inaccessible,
        }

    async def _sorted(self, origin: ServerName, room_ids: Sequence[str]) -> tuple[list[Json], list[str]]:
        """The summaries of those that the server may see, and the ids of the others. Rooms unknown here are neither."""
        facts = await self._facts(room_ids)
        told, inaccessible = [], []
        for room_id in room_ids:
            if room_id not in facts:
                continue
            if await self._may_see(origin, facts[room_id]):
                told.append(summary(facts[room_id]))
            else:
                inaccessible.append(room_id)
        return told, inaccessible

    async def _children(self, facts: RoomFacts, suggested_only: bool) -> list[Event]:
        if room_type_of(facts) != SPACE:
            return []
        events = await self._database.run(rows.find_space_children, [facts.room_nid])
        return listed_children(events.get(facts.room_nid, []), suggested_only)

    async def _facts(self, room_ids: Sequence[str]) -> dict[str, RoomFacts]:
        """Of those of the rooms that we are in: of others we do not know what is so now."""
        known = await self._database.read(find_rooms_by_id, list(room_ids)) if room_ids else {}
        nids = [row.room_nid for row in known.values() if await self._admission.is_resident(row.room_nid)]
        facts = await self._database.run(rows.find_facts, nids) if nids else {}
        return {one.room_id: one for one in facts.values()}

    async def _may_see(self, origin: ServerName, facts: RoomFacts) -> bool:
        """May any user of the server join the room, or look in?"""
        if is_open(facts) or await self._admission.is_in(origin, facts.room_nid):
            return True
        if await self._is_invited(origin, facts.room_nid):
            return True
        allowed = allowed_rooms_of(facts)
        known = await self._database.read(find_rooms_by_id, allowed) if allowed else {}
        for row in known.values():
            if await self._admission.is_in(origin, row.room_nid):
                return True
        return False

    async def _is_invited(self, origin: ServerName, room_nid: int) -> bool:
        members = await self._members.members_of(room_nid)
        return any(user.domain == origin for user, membership in members.items() if membership == "invite")
