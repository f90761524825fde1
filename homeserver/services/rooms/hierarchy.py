"""The tree of a space, and the summary of one room, for a user who need not be in them.

Theory of operation. The tree is read level by level, each with a few look-ups for all its rooms together; then it is
laid out depth first, each room once, which also breaks loops. The layout is kept for a while, so that the next page
is a slice of it; who comes later, or to another process, has it made again.

Source: client-server API, "Spaces", GET /rooms/{roomId}/hierarchy, GET /room_summary/{roomIdOrAlias}.
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.descriptions import allowed_rooms_of, is_open, room_type_of, summary
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.space_children import child_states, listed_children
from matrix.errors import Forbidden, InvalidParam, NotFound
from matrix.events import Event, Json
from matrix.ids import RoomId, UserId
from storage import published_rooms as rows
from storage.database import Database
from storage.published_rooms import RoomFacts
from storage.rooms import find_rooms_by_id

SPACE = "m.space"
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
class _Room:
    """A room of the layout, its members not counted, and its children, if it is a space."""

    facts: RoomFacts
    children: Sequence[Event]


@frozen
class _Tree:
    """What is known of the rooms of a tree, by room id; `children` of those that are spaces."""

    facts: dict[str, RoomFacts] = field(factory=dict)
    children: dict[str, list[Event]] = field(factory=dict)


@frozen
class _Reader:
    """Who asks: their membership by room number, and the ids of the rooms they are joined to. None: nobody."""

    memberships: Mapping[int, str]
    joined: frozenset[str]

    def may_see(self, facts: RoomFacts) -> bool:
        if is_open(facts) or self.memberships.get(facts.room_nid) in ("join", "invite"):
            return True
        return not self.joined.isdisjoint(allowed_rooms_of(facts))


class Hierarchy:
    def __init__(self, *, heads: Heads, members: Members, database: Database, clock: Clock) -> None:
        self._heads = heads
        self._members = members
        self._database = database
        self._layouts: Lru[tuple[object, ...], list[_Room]] = Lru("space_layouts", _KEPT, clock, _KEEP_S)

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

    async def summary(self, user_id: UserId | None, room_id: RoomId) -> Json:
        """Raises: NotFound, also for a room that the user may know nothing of."""
        facts = (await self._facts([room_id], counted=True)).get(room_id)
        reader = await self._reader(user_id)
        if facts is None or not reader.may_see(facts):
            raise NotFound("Room not found.")
        told = summary(facts)
        if user_id is not None:
            told["membership"] = reader.memberships.get(facts.room_nid, "leave")
        return told

    async def _written(self, rooms: Sequence[_Room]) -> list[Json]:
        joined = await self._database.read(rows.count_joined, [room.facts.room_nid for room in rooms])
        return [
            {
                **summary(evolve(room.facts, joined_members=joined.get(room.facts.room_nid, 0))),
                "children_state": child_states(room.children),
            }
            for room in rooms
        ]

    async def _lay_out(self, user_id: UserId, root: RoomId, query: TreeQuery) -> list[_Room]:
        reader = await self._reader(user_id)
        tree = await self._load(reader, root, query)
        if root not in tree.facts:
            raise Forbidden(f"User {user_id} not in room {root}, and room previews are disabled")
        rooms: list[_Room] = []
        seen: set[str] = set()
        waiting: list[str] = [root]
        while waiting:
            room_id = waiting.pop()
            if room_id in seen or room_id not in tree.facts:
                continue
            seen.add(room_id)
            children = tree.children.get(room_id, [])
            rooms.append(_Room(tree.facts[room_id], children))
            waiting += reversed([child.key[1] for child in children])
        return rooms

    async def _load(self, reader: _Reader, root: RoomId, query: TreeQuery) -> _Tree:
        """The rooms that the reader may see, as far down as asked for."""
        tree = _Tree()
        level: Sequence[str] = [root]
        depth = MAX_DEPTH if query.max_depth is None else min(query.max_depth, MAX_DEPTH)
        for _ in range(depth + 1):
            found = {room_id: facts for room_id, facts in (await self._facts(level)).items() if reader.may_see(facts)}
            tree.facts.update(found)
            spaces = [facts for facts in found.values() if room_type_of(facts) == SPACE]
            if not spaces:
                break
            events = await self._database.run(rows.find_space_children, [facts.room_nid for facts in spaces])
            for facts in spaces:
                tree.children[facts.room_id] = listed_children(events.get(facts.room_nid, []), query.suggested_only)
            level = self._next_level(tree, spaces)
        return tree

    @staticmethod
    def _next_level(tree: _Tree, spaces: Iterable[RoomFacts]) -> list[str]:
        named = {child.key[1]: None for facts in spaces for child in tree.children[facts.room_id]}
        return [room_id for room_id in named if room_id not in tree.facts][: MAX_ROOMS - len(tree.facts)]

    async def _facts(self, room_ids: Sequence[str], *, counted: bool = False) -> dict[str, RoomFacts]:
        known = await self._database.read(find_rooms_by_id, list(room_ids)) if room_ids else {}
        nids = [row.room_nid for row in known.values()]
        facts = await self._database.run(rows.find_facts, nids, counted=counted) if nids else {}
        return {one.room_id: one for one in facts.values()}

    async def _reader(self, user_id: UserId | None) -> _Reader:
        if user_id is None:
            return _Reader({}, frozenset())
        own = await self._members.rooms_of(user_id)
        memberships = {nid: row.membership for nid, row in own.items()}
        joined = await self._heads.rooms(nid for nid, membership in memberships.items() if membership == "join")
        return _Reader(memberships, frozenset(row.room_id for row in joined.values()))


def _token(query: TreeQuery, end: int) -> str:
    depth = "" if query.max_depth is None else query.max_depth
    return f"{end}_{int(query.suggested_only)}_{depth}"


def _parse(query: TreeQuery) -> int:
    """Where the page begins; a token is for one query only."""
    text = (query.since or "").partition("_")[0]
    if not text.isascii() or not text.isdigit() or len(text) > 6 or query.since != _token(query, int(text)):
        raise InvalidParam("suggested_only and max_depth cannot change on paginated requests")
    return int(text)
