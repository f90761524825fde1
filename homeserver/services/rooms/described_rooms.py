"""Rooms as those see them who are not in them: by our own knowledge where this server is in the room, else as other
servers tell it.

Source: client-server API, "Spaces", GET /room_summary/{roomIdOrAlias}; server-server API, GET /hierarchy/{roomId}.
"""

from collections.abc import Mapping, Sequence

from attrs import field, frozen
from twisted.internet.defer import DeferredSemaphore, gatherResults

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.descriptions import allowed_rooms_of, is_open, room_type_of, summary
from homeserver.services.rooms.remote_rooms import RemoteRoom, RemoteRooms, servers_of
from homeserver.services.rooms.space_children import child_states, in_order, listed_children
from matrix.events import Json
from matrix.ids import RoomId, ServerName
from storage import memberships
from storage import published_rooms as rows
from storage.database import Database
from storage.published_rooms import RoomFacts
from storage.rooms import find_rooms_by_id

SPACE = "m.space"
Via = Sequence[ServerName]
# So many rooms are asked for at other servers for one look, so many at once, and for so long.
MAX_ASKED, ASKED_AT_ONCE, PATIENCE_S = 100, 10, 20.0
_OPEN_RULES = frozenset(("public", "knock", "knock_restricted"))


@frozen(kw_only=True)
class Described:
    """`room_nid` is None for a room of other servers; of ours the members in `entry` are counted only if asked for.

    `allowed`: the rooms whose members may join. `children`: of a space, stripped and in order.
    """

    room_id: str
    entry: Json
    is_open: bool
    allowed: Sequence[str]
    room_nid: int | None = None
    children: Sequence[Json] = ()

    @property
    def is_space(self) -> bool:
        return self.entry.get("room_type") == SPACE

    def via_of_children(self) -> dict[str, Via]:
        return {child["state_key"]: servers_of(child) for child in self.children}


@frozen
class Told:
    """What other servers have told while one tree was made: summaries of the children of their spaces."""

    rooms: dict[str, Json] = field(factory=dict)


class DescribedRooms:
    def __init__(self, *, database: Database, remote: RemoteRooms, clock: Clock) -> None:
        self._database = database
        self._remote = remote
        self._clock = clock

    async def find(
        self,
        wanted: Mapping[str, Via],
        *,
        suggested_only: bool = False,
        counted: bool = False,
        told: Told | None = None,
    ) -> dict[str, Described]:
        """Those of the rooms, by id, of which anything is known. `wanted` says who to ask about each."""
        facts = await self._facts(list(wanted), counted=counted)
        spaces = [one.room_nid for one in facts.values() if room_type_of(one) == SPACE]
        events = await self._database.run(rows.find_space_children, spaces) if spaces else {}
        found = {
            room_id: _local(one, child_states(listed_children(events.get(one.room_nid, []), suggested_only)))
            for room_id, one in facts.items()
        }
        missing = {room_id: via for room_id, via in wanted.items() if room_id not in found}
        return found | await self._elsewhere(missing, suggested_only, told or Told()) if missing else found

    async def _elsewhere(self, wanted: Mapping[str, Via], suggested_only: bool, told: Told) -> dict[str, Described]:
        """A room that is no space needs no question, if the server of its space has told of it."""
        known = {room_id: RemoteRoom(told.rooms[room_id]) for room_id in wanted if room_id in told.rooms}
        asked = [room_id for room_id in wanted if room_id not in known or known[room_id].is_space]
        asked = [room_id for room_id in asked if wanted[room_id]][:MAX_ASKED]
        deadline = self._clock.seconds() + PATIENCE_S
        turns = DeferredSemaphore(ASKED_AT_ONCE)

        async def ask(room_id: str) -> None:
            left = deadline - self._clock.seconds()
            if left <= 0:
                return
            asking = self._remote.find(RoomId(room_id), wanted[room_id], suggested_only=suggested_only)
            try:
                answer = await self._clock.timeout(asking, left)
            except TimeoutError:
                return
            if answer is not None:
                known[room_id] = answer
                told.rooms.update(answer.children)

        await gatherResults([turns.run(ask, room_id) for room_id in asked])
        return {room_id: _remote(room_id, room, suggested_only) for room_id, room in known.items()}

    async def _facts(self, room_ids: Sequence[str], *, counted: bool) -> dict[str, RoomFacts]:
        """Of the rooms that this server is in."""
        known = await self._database.read(find_rooms_by_id, list(room_ids)) if room_ids else {}
        nids = [row.room_nid for row in known.values()]
        here = await self._database.read(memberships.rooms_we_are_in, nids) if nids else set()
        facts = await self._database.run(rows.find_facts, list(here), counted=counted) if here else {}
        return {one.room_id: one for one in facts.values()}


def _local(facts: RoomFacts, children: list[Json]) -> Described:
    return Described(
        room_id=facts.room_id,
        entry=summary(facts),
        is_open=is_open(facts),
        allowed=allowed_rooms_of(facts),
        room_nid=facts.room_nid,
        children=children,
    )


def _remote(room_id: str, room: RemoteRoom, suggested_only: bool) -> Described:
    entry = room.entry
    return Described(
        room_id=room_id,
        entry=entry,
        is_open=entry["world_readable"] or entry.get("join_rule") in _OPEN_RULES,
        allowed=entry.get("allowed_room_ids", ()),
        children=in_order(room.children_state, suggested_only) if room.is_space else (),
    )
