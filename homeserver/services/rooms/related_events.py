"""The events that relate to another, and the threads of a room.

Source: client-server API, "Relationships API", "Querying threads in a room".
"""

from collections.abc import Awaitable, Callable, Sequence

from attrs import evolve, field, frozen

from homeserver.services.rooms.reading import Reading, View
from homeserver.services.rooms.timeline import NO_FILTER, Timeline
from homeserver.services.rooms.visibility import Seen, Visibility
from matrix.events import from_pdu
from matrix.ids import EventId, RoomId, UserId
from matrix.redaction import redact
from storage import related
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.history import Place, Span, Token
from storage.related import MAX_DEPTH, RelationQuery

Ignored = Callable[[str], Awaitable[frozenset[str]]]


@frozen(kw_only=True)
class RelatedQuery:
    parent_id: EventId
    rel_type: str | None = None
    event_type: str | None = None
    recurse: bool = False
    backwards: bool = True
    start: Token | None = None
    stop: Token | None = None
    limit: int


@frozen(kw_only=True)
class RelatedPage:
    """`depth`: how many relations were followed, if it was asked to follow any."""

    seen: Seen
    next_batch: Token | None = None
    prev_batch: Token | None = None
    depth: int | None = None


@frozen(kw_only=True)
class ThreadsQuery:
    participated: bool = False
    start: Token | None = None
    limit: int


@frozen(kw_only=True)
class ThreadsPage:
    seen: Seen
    next_batch: Token | None = field(default=None)


class RelatedEvents:
    def __init__(
        self,
        *,
        timeline: Timeline,
        reading: Reading,
        visibility: Visibility,
        events: Events,
        database: Database,
        ignored: Ignored,
    ) -> None:
        self._timeline = timeline
        self._reading = reading
        self._visibility = visibility
        self._events = events
        self._database = database
        self._ignored = ignored

    async def children(self, user_id: UserId, room_id: RoomId, query: RelatedQuery) -> RelatedPage:
        """What relates to an event. Raises: NotFound, also if the user may not see that event."""
        await self._timeline.event(user_id, room_id, query.parent_id)
        view = await self._reading.view(user_id, room_id)
        start, stop = _one(query.start), _one(query.stop)
        span = _span(view, after=stop if query.backwards else start, upto=start if query.backwards else stop)
        wanted = RelationQuery(
            parent_id=query.parent_id,
            rel_type=query.rel_type,
            event_type=query.event_type,
            depth=MAX_DEPTH if query.recurse else 1,
        )
        found = await self._database.run(
            related.find_children, wanted, span, query.limit + 1, newest_first=query.backwards
        )
        places = [place for place, _ in found[: query.limit]]
        last = places[-1] if len(found) > query.limit and places else None
        return RelatedPage(
            seen=await self._timeline.see(user_id, view, places, NO_FILTER),
            next_batch=None if last is None else last.before if query.backwards else last.after,
            prev_batch=query.start,
            depth=max((far for _, far in found), default=0) if query.recurse else None,
        )

    async def threads(self, user_id: UserId, room_id: RoomId, query: ThreadsQuery) -> ThreadsPage:
        """The roots of the room's threads, those with the newest events first. Raises: Forbidden."""
        view = await self._reading.view(user_id, room_id)
        ignored = await self._ignored(user_id)
        found = await self._database.run(
            related.find_threads,
            _span(view, after=(), upto=_one(query.start)),
            query.limit + 1,
            ignored=ignored,
            participant=user_id if query.participated else None,
        )
        listed = found[: query.limit]
        roots = await self._events.by_id(root_id for _, root_id in listed)
        in_room = [roots[root_id] for _, root_id in listed if root_id in roots]
        seen = await self._visibility.look(
            user_id, view.room_nid, [root for root in in_room if root.room_nid == view.room_nid]
        )
        shown = [_redacted(root) if root.event.sender in ignored else root for root in seen.events]
        return ThreadsPage(
            seen=evolve(seen, events=shown),
            next_batch=_place_of(listed).before if len(found) > query.limit else None,
        )


def _place_of(listed: Sequence[tuple[Place, EventId]]) -> Place:
    return listed[-1][0]


def _one(token: Token | None) -> tuple[Token, ...]:
    return () if token is None else (token,)


def _span(view: View, *, after: Sequence[Token], upto: Sequence[Token]) -> Span:
    return Span(room_nid=view.room_nid, after=after, upto=upto, until=view.until)


def _redacted(root: StoredEvent) -> StoredEvent:
    """What a client sees of a root by someone whom its user ignores. The event itself is left as it is."""
    event = root.event
    bare = from_pdu(redact(event.pdu, event.version), event.version, event.event_id)
    return StoredEvent(root.nid, root.room_nid, bare, None, root.position, root.flags, has_children=root.has_children)
