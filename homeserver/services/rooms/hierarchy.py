"""The tree of a space, and the summary of one room, for a user who need not be in them.

Theory of operation. The tree is read level by level, each with a few look-ups for all its rooms together; of rooms that
this server is not in other servers are asked. Then it is laid out depth first, each room once, which also breaks loops.
The layout is kept for a while, so that the next page is a slice of it; who comes later, or to another process, has it
made again.

Source: client-server API, "Spaces", GET /rooms/{roomId}/hierarchy, GET /room_summary/{roomIdOrAlias}.
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.described_rooms import SPACE, Described, DescribedRooms, Told, Via
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.errors import Forbidden, InvalidParam, NotFound
from matrix.events import Json
from matrix.ids import RoomId, UserId
from storage import published_rooms as rows
from storage.database import Database

__all__ = ["MAX_LIMIT", "SPACE", "Hierarchy", "TreeQuery"]

# As Synapse: at most so many rooms on a page.
MAX_LIMIT = 50
# Of one tree, and of its depth.
MAX_ROOMS, MAX_DEPTH = 2_000, 30
_KEEP_S, _KEPT = 300, 200


@frozen(kw_only=True)
class TreeQuery:
    suggested_only: bool = False
    max_depth: int | None = None
    limit: int = MAX_LIMIT
    since: str | None = None


@frozen
class _Reader:
    """Who asks: their membership by room id. None has asked: nothing."""

    memberships: Mapping[str, str] = field(factory=dict)

    def may_see(self, room: Described) -> bool:
        if room.is_open or self.memberships.get(room.room_id) in ("join", "invite"):
            return True
        return any(self.memberships.get(room_id) == "join" for room_id in room.allowed)


class Hierarchy:
    def __init__(
        self, *, heads: Heads, members: Members, database: Database, described: DescribedRooms, clock: Clock
    ) -> None:
        self._heads = heads
        self._members = members
        self._database = database
        self._described = described
        self._layouts: Lru[tuple[object, ...], list[Described]] = Lru("space_layouts", _KEPT, clock, _KEEP_S)

    async def page(self, user_id: UserId, root: RoomId, query: TreeQuery) -> Json:
        """The body of the answer. Raises: Forbidden, InvalidParam."""
        start = 0 if query.since is None else _parse(query)
        key = (user_id, root, query.suggested_only, query.max_depth)
        rooms = None if query.since is None else self._layouts.get(key)
        if rooms is None:
            rooms = await self._lay_out(user_id, root, query)
            self._layouts.set(key, rooms)
        end = start + min(query.limit, MAX_LIMIT)
        answer: Json = {"rooms": await self._written(rooms[start:end])}
        if end < len(rooms):
            answer["next_batch"] = _token(query, end)
        return answer

    async def summary(self, user_id: UserId | None, room_id: RoomId, via: Via = ()) -> Json:
        """Raises: NotFound, also for a room that the user may know nothing of."""
        room = (await self._described.find({room_id: via}, counted=True)).get(room_id)
        reader = await self._reader(user_id)
        if room is None or not reader.may_see(room):
            raise NotFound("Room not found.")
        if user_id is None:
            return room.entry
        return {**room.entry, "membership": reader.memberships.get(room_id, "leave")}

    async def _written(self, rooms: Sequence[Described]) -> list[Json]:
        nids = [room.room_nid for room in rooms if room.room_nid is not None]
        joined = await self._database.read(rows.count_joined, nids) if nids else {}
        return [
            {
                **room.entry,
                **({} if room.room_nid is None else {"num_joined_members": joined.get(room.room_nid, 0)}),
                "children_state": list(room.children),
            }
            for room in rooms
        ]

    async def _lay_out(self, user_id: UserId, root: RoomId, query: TreeQuery) -> list[Described]:
        reader = await self._reader(user_id)
        tree = await self._load(reader, root, query)
        if root not in tree:
            raise Forbidden(f"User {user_id} not in room {root}, and room previews are disabled")
        rooms: list[Described] = []
        seen: set[str] = set()
        waiting: list[str] = [root]
        while waiting:
            room_id = waiting.pop()
            if room_id in seen or room_id not in tree:
                continue
            seen.add(room_id)
            rooms.append(tree[room_id])
            waiting += reversed([child["state_key"] for child in tree[room_id].children])
        return rooms

    async def _load(self, reader: _Reader, root: RoomId, query: TreeQuery) -> dict[str, Described]:
        """The rooms that the reader may see, as far down as asked for."""
        tree: dict[str, Described] = {}
        level: dict[str, Via] = {root: ()}
        depth = MAX_DEPTH if query.max_depth is None else min(query.max_depth, MAX_DEPTH)
        told = Told()
        for _ in range(depth + 1):
            described = await self._described.find(level, suggested_only=query.suggested_only, told=told)
            found = {room_id: room for room_id, room in described.items() if reader.may_see(room)}
            tree.update(found)
            level = self._next_level(tree, found.values())
            if not level:
                break
        return tree

    @staticmethod
    def _next_level(tree: Mapping[str, Described], found: Iterable[Described]) -> dict[str, Via]:
        named: dict[str, Via] = {}
        for room in found:
            for room_id, via in room.via_of_children().items():
                if room_id not in tree and room_id not in named and len(tree) + len(named) < MAX_ROOMS:
                    named[room_id] = via
        return named

    async def _reader(self, user_id: UserId | None) -> _Reader:
        if user_id is None:
            return _Reader()
        own = {nid: row.membership for nid, row in (await self._members.rooms_of(user_id)).items()}
        known = await self._heads.rooms(own)
        return _Reader({row.room_id: own[nid] for nid, row in known.items()})


def _token(query: TreeQuery, end: int) -> str:
    depth = "" if query.max_depth is None else query.max_depth
    return f"{end}_{int(query.suggested_only)}_{depth}"


def _parse(query: TreeQuery) -> int:
    """Where the page begins; a token is for one query only."""
    text = (query.since or "").partition("_")[0]
    if not text.isascii() or not text.isdigit() or len(text) > 6 or query.since != _token(query, int(text)):
        raise InvalidParam("suggested_only and max_depth cannot change on paginated requests")
    return int(text)
