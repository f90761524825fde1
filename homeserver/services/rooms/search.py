"""Full text search over what a user may read.

Source: client-server API, "Server Side Search".
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.search_index import SearchIndex
from homeserver.services.rooms.search_token import SearchToken
from homeserver.services.rooms.visibility import Seen, Visibility
from matrix.auth_needs import CREATE
from matrix.filters import Chosen, EventFilter, clamp_limit
from matrix.ids import BadIdentifier, RoomId, UserId
from storage import search
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.search import FOREVER, Match, Spot, WordQuery

Ignored = Callable[[str], Awaitable[frozenset[str]]]

# What the reader may not see is made up for by looking at so many more matches, so often.
LOOK_AT, MAX_LOOKS = 50, 4
# Rooms that were upgraded one into another.
MAX_PREDECESSORS = 20
TYPES = {"content.body": search.MESSAGE, "content.name": search.NAME, "content.topic": search.TOPIC}


@frozen(kw_only=True)
class SearchQuery:
    """`token`: the page to give, and of which group."""

    term: str
    keys: Sequence[str]
    filter: EventFilter
    by_rank: bool
    token: SearchToken | None = None

    @property
    def limit(self) -> int:
        return clamp_limit(self.filter.limit)


@frozen
class Hit:
    stored: StoredEvent
    rank: float
    position: int


@frozen(kw_only=True)
class Results:
    """`seen` are the events of the hits. `untils`: up to where each of the rooms is the reader's."""

    hits: list[Hit] = field(factory=list)
    seen: Seen
    count: int = 0
    highlights: list[str] = field(factory=list)
    next_page: SearchToken | None = None
    untils: Mapping[int, int] = field(factory=dict)


@frozen
class Neighbours:
    before: Seen
    after: Seen


class Search:
    def __init__(
        self,
        *,
        index: SearchIndex,
        heads: Heads,
        members: Members,
        visibility: Visibility,
        events: Events,
        database: Database,
        ignored: Ignored,
    ) -> None:
        self._index = index
        self._heads = heads
        self._members = members
        self._visibility = visibility
        self._events = events
        self._database = database
        self._ignored = ignored

    async def find(self, user_id: UserId, query: SearchQuery) -> Results:
        untils = await self._rooms(user_id, query)
        if not untils or not query.keys:
            return Results(seen=Seen(events=[]))
        await self._index.prepare()
        words = _word_query(query, untils)
        # The rooms are chosen already, with predecessors that the filter does not name.
        wanted = evolve(query.filter, rooms=Chosen())
        hits: list[Hit] = []
        seen, count, next_page = Seen(events=[]), 0, None
        for look in range(MAX_LOOKS):
            matches = await self._database.run(search.find_matches, words)
            count = _count(query, matches) if look == 0 else count
            more, shown = await self._visible(user_id, matches, wanted)
            seen = _joined(seen, shown)
            hits += more[: query.limit - len(hits)]
            next_page = _next(query, words, matches, hits, cut=len(more) > 0 and hits[-1] is not more[-1])
            if next_page is None or len(hits) >= query.limit:
                break
            words = _go_on(words, next_page)
        texts = [_text_of(hit.stored) for hit in hits]
        return Results(
            hits=hits,
            seen=evolve(seen, events=[hit.stored for hit in hits]),
            count=count,
            highlights=await self._database.run(search.find_highlights, query.term, texts),
            next_page=None if next_page is None else evolve(next_page, count=count),
            untils=untils,
        )

    async def neighbours(self, user_id: UserId, results: Results, limits: tuple[int, int]) -> dict[int, Neighbours]:
        """What the reader sees of the events around each hit, by its number; with one look-up for all of them."""
        spots = [
            Spot(
                nid=hit.stored.nid,
                room_nid=hit.stored.room_nid,
                depth=hit.stored.event.depth,
                position=hit.position,
                until=results.untils[hit.stored.room_nid],
            )
            for hit in results.hits
        ]
        found = await self._database.read(search.find_neighbours, spots, *limits)
        events = await self._events.get(nid for sides in found.values() for side in sides for nid in side)
        seen = await self._see(user_id, events.values())
        visible = {stored.nid for stored in seen.events}

        def side(nids: Iterable[int]) -> Seen:
            return evolve(seen, events=[events[nid] for nid in nids if nid in visible])

        return {nid: Neighbours(side(before), side(after)) for nid, (before, after) in found.items()}

    async def _see(self, user_id: UserId, events: Iterable[StoredEvent]) -> Seen:
        """Of events of any rooms, without those of ignored users."""
        by_room: dict[int, list[StoredEvent]] = {}
        for stored in events:
            by_room.setdefault(stored.room_nid, []).append(stored)
        ignored = await self._ignored(user_id)
        seen = Seen(events=[])
        for room_nid, of_room in by_room.items():
            looked = await self._visibility.look(user_id, room_nid, of_room)
            heard = [one for one in looked.events if one.event.is_state or one.event.sender not in ignored]
            own = {one.nid: looked.memberships.get(one.nid, looked.membership or "leave") for one in heard}
            seen = _joined(seen, Seen(events=heard, memberships=own))
        return seen

    async def _visible(self, user_id: UserId, matches: Sequence[Match], wanted: EventFilter) -> tuple[list[Hit], Seen]:
        events = await self._events.get(match.nid for match in matches)
        seen = await self._see(user_id, events.values())
        visible = {
            one.nid: one
            for one in seen.events
            if wanted.allows(one.event.type, one.event.sender, one.event.room_id, one.event.content)
        }
        return [Hit(visible[one.nid], one.rank, one.position) for one in matches if one.nid in visible], seen

    async def _rooms(self, user_id: UserId, query: SearchQuery) -> dict[int, int]:
        """Up to which position the user may read each room that is to be searched, by room number."""
        untils = {
            nid: FOREVER if row.membership == "join" else row.position
            for nid, row in (await self._members.rooms_of(user_id)).items()
            if row.membership in ("join", "leave", "ban") and not row.forgotten
        }
        named = await self._heads.rooms(untils)
        wanted = {nid for nid, row in named.items() if query.filter.rooms.allows(row.room_id)}
        if query.filter.rooms.only is not None:
            wanted |= await self._predecessors(wanted, untils)
        group = None if query.token is None else query.token.group
        if group is not None and group[0] == "room_id":
            wanted = {nid for nid in wanted if named[nid].room_id == group[1]}
        return {nid: until for nid, until in untils.items() if nid in wanted}

    async def _predecessors(self, wanted: Iterable[int], own: Mapping[int, int]) -> set[int]:
        """As Synapse: with a room, the user's rooms that were upgraded into it."""
        found: set[int] = set()
        waiting = list(wanted)
        for _ in range(MAX_PREDECESSORS):
            heads = await self._heads.get_many(waiting)
            waiting = []
            for head in heads.values():
                create = await self._heads.state_event(head, *CREATE)
                room_id = None if create is None else _predecessor(create)
                room = None if room_id is None else await self._heads.find_room(room_id)
                if room is not None and room.room_nid in own and room.room_nid not in found:
                    found.add(room.room_nid)
                    waiting.append(room.room_nid)
            if not waiting:
                break
        return found


def _predecessor(create: StoredEvent) -> RoomId | None:
    predecessor = create.event.content.get("predecessor")
    room_id = predecessor.get("room_id") if isinstance(predecessor, dict) else None
    try:
        return RoomId.parse(room_id) if isinstance(room_id, str) else None
    except BadIdentifier:
        return None


def _count(query: SearchQuery, matches: Sequence[Match]) -> int:
    """Of all pages, not only of those that are left."""
    if query.token is not None and query.token.count is not None and query.token.group is None:
        return query.token.count
    return matches[0].count if matches else 0


def _word_query(query: SearchQuery, untils: Mapping[int, int]) -> WordQuery:
    wanted, token = query.filter, query.token
    if token is not None and token.group is not None and token.group[0] == "sender":
        only = frozenset((token.group[1],)) & (wanted.senders.only or frozenset((token.group[1],)))
        wanted = evolve(wanted, senders=evolve(wanted.senders, only=only))
    words = WordQuery(
        term=query.term,
        room_nids=list(untils),
        untils=list(untils.values()),
        types=[TYPES[key] for key in query.keys],
        filter=wanted,
        by_rank=query.by_rank,
        limit=max(query.limit + 1, LOOK_AT),
    )
    return words if token is None else _go_on(words, token)


def _go_on(words: WordQuery, token: SearchToken) -> WordQuery:
    return evolve(words, skip=max(0, token.number)) if words.by_rank else evolve(words, before=token.number)


def _next(
    query: SearchQuery, words: WordQuery, matches: Sequence[Match], hits: Sequence[Hit], *, cut: bool
) -> SearchToken | None:
    """What follows: after the last hit of a page that is full, or after all that was looked at.

    As Synapse, a page that is just full names a next one, which is empty: whether there is more costs a look.
    """
    cut = cut or (len(hits) >= query.limit and bool(hits))
    if not cut and len(matches) < words.limit:
        return None
    group = None if query.token is None else query.token.group
    last = hits[-1].position if cut else matches[-1].position
    if not query.by_rank:
        return SearchToken(last, group)
    looked_at = next(index for index, match in enumerate(matches) if match.position == last)
    return SearchToken(words.skip + looked_at + 1, group)


def _joined(first: Seen, second: Seen) -> Seen:
    return Seen(events=first.events + second.events, memberships={**first.memberships, **second.memberships})


def _text_of(stored: StoredEvent) -> str:
    content = stored.event.content
    texts = (content.get(name) for name in ("body", "name", "topic"))
    return " ".join(text for text in texts if isinstance(text, str))
