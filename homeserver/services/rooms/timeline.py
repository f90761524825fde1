"""A room's history, page by page.

Theory of operation. Where the next events lie is one query; the events are mostly in memory. What of them the reader
may not see or does not want is left out, and the page filled up by looking further, a few times; a page that is still
not full then has an `end` all the same, and the client comes again.

Source: client-server API, GET /rooms/{roomId}/messages, GET /rooms/{roomId}/context/{eventId}, "Ignoring users".
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol

from attrs import evolve, field, frozen

from homeserver.services.rooms.reading import Reading, View
from homeserver.services.rooms.visibility import Seen, Visibility
from matrix.errors import Forbidden, NotFound
from matrix.filters import EventFilter
from matrix.ids import EventId, RoomId, UserId
from matrix.tokens import PageToken, SyncToken
from storage import history
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.history import Place, Span, Token
from storage.stream import Stream

Ignored = Callable[[str], Awaitable[frozenset[str]]]

# As Synapse.
DEFAULT_LIMIT, MAX_LIMIT = 10, 1_000
# After the first look at the history, further ones look at so many events each, so often.
LOOK_FURTHER, MAX_LOOKS = 200, 5
START = PageToken(0, 0)
# So often other servers are asked for what a page lacks.
MAX_FILLS = 3
# Of a room's create event.
FIRST_DEPTH = 1
NO_FILTER = EventFilter()


class OlderHistory(Protocol):
    """What other servers know of a room and we do not; depths are those of the events that follow what is missing."""

    async def lacks(self, room_nid: int, *, above: int, upto: int | None) -> bool: ...

    async def fill(self, room_id: RoomId, *, above: int, upto: int | None) -> bool:
        """True if something has come."""


@frozen(kw_only=True)
class PageQuery:
    backwards: bool
    start: Token | None = None
    stop: Token | None = None
    limit: int = DEFAULT_LIMIT
    filter: EventFilter = NO_FILTER


@frozen(kw_only=True)
class Page:
    """`end` is None where nothing follows."""

    view: View
    start: Token
    end: Token | None
    seen: Seen


@frozen(kw_only=True)
class Surroundings:
    """An event, and those before it (newest first) and after it (oldest first)."""

    view: View
    event: Seen
    before: Seen
    after: Seen
    start: Token
    end: Token

    @property
    def last(self) -> StoredEvent:
        return (self.after.events or self.event.events)[-1]

    @property
    def all(self) -> list[StoredEvent]:
        return [*self.before.events, *self.event.events, *self.after.events]


@frozen
class _Found:
    events: list[StoredEvent] = field(factory=list)
    memberships: dict[int, str] = field(factory=dict)
    membership: str | None = None

    def add(self, seen: Seen) -> "_Found":
        # Looks without memberships are those at which the user was what `membership` says all along.
        return _Found(
            self.events + seen.events, {**self.memberships, **seen.memberships}, seen.membership or self.membership
        )


class Timeline:
    def __init__(
        self,
        *,
        reading: Reading,
        visibility: Visibility,
        events: Events,
        database: Database,
        stream: Stream,
        ignored: Ignored,
        older: OlderHistory,
    ) -> None:
        self._reading = reading
        self._visibility = visibility
        self._events = events
        self._database = database
        self._stream = stream
        self._ignored = ignored
        self._older = older

    async def page(self, user_id: UserId, room_id: RoomId, query: PageQuery) -> Page:
        """What of it is missing here is fetched, as far as other servers have it at once. Raises: Forbidden."""
        page = await self._page(user_id, room_id, query)
        for _ in range(MAX_FILLS if query.backwards and query.limit else 0):
            above = page.end.depth - 1 if isinstance(page.end, PageToken) else 0
            upto = page.start.depth if isinstance(page.start, PageToken) else None
            if not await self._older.lacks(page.view.room_nid, above=above, upto=upto):
                break
            if not await self._older.fill(room_id, above=above, upto=upto):
                # There is more, though nobody gives it now: the client may come again.
                return evolve(page, end=page.end or _lowest(page))
            page = await self._page(user_id, room_id, query)
        return page

    async def _page(self, user_id: UserId, room_id: RoomId, query: PageQuery) -> Page:
        view = await self._reading.view(user_id, room_id)
        start = query.start or (SyncToken(self._stream.position) if query.backwards else START)
        span = self._span(view, query, start)
        found, end = _Found(), start if query.limit == 0 else None
        pointless = query.limit == 0 or query.filter.blocks_all or not query.filter.allows_room(room_id)
        for look in range(0 if pointless else MAX_LOOKS):
            wanted = query.limit - len(found.events)
            places, more = await self._places(span, query, wanted if look == 0 else max(wanted, LOOK_FURTHER))
            if query.start is None and look == 0 and places:
                start = places[0].after if query.backwards else places[0].before
            seen = await self.see(user_id, view, places, query.filter)
            found = found.add(evolve(seen, events=seen.events[:wanted]))
            end = _end(places, seen.events[wanted - 1] if len(seen.events) > wanted else None, more, query)
            if not more or len(found.events) >= query.limit:
                break
            span = _beyond(span, places[-1], query.backwards)
        seen = Seen(events=found.events, memberships=found.memberships, membership=found.membership)
        return Page(view=view, start=start, end=end, seen=seen)

    async def event(self, user_id: UserId, room_id: RoomId, event_id: EventId) -> Seen:
        """One event. Raises: NotFound, also if the user may not see it."""
        try:
            view = await self._reading.view(user_id, room_id)
        except Forbidden as error:
            raise NotFound("Event not found.") from error
        stored = await self._stored(view, event_id)
        seen = await self._visibility.look(user_id, view.room_nid, [stored])
        if not seen.events or _is_beyond(stored, view):
            raise NotFound("Event not found.")
        return seen

    async def around(
        self, user_id: UserId, room_id: RoomId, event_id: EventId, limits: tuple[int, int], wanted: EventFilter
    ) -> Surroundings:
        """Raises: Forbidden, NotFound."""
        view = await self._reading.view(user_id, room_id)
        stored = await self._stored(view, event_id)
        event = await self._visibility.look(user_id, view.room_nid, [stored])
        if not event.events or _is_beyond(stored, view):
            raise Forbidden("You don't have permission to access that event.")
        place = Place(stored.nid, stored.event.depth, stored.position)
        upto = () if view.until is None else (SyncToken(view.until),)
        span = Span(room_nid=view.room_nid, upto=upto, until=view.until)
        before, after = await self._database.read(history.around, span, place, wanted, limits)
        before, after = before[: limits[0]], after[: limits[1]]
        return Surroundings(
            view=view,
            event=event,
            before=await self.see(user_id, view, before, wanted),
            after=await self.see(user_id, view, after, wanted),
            start=before[-1].before if before else place.before,
            end=after[-1].after if after else place.after,
        )

    async def nearest(self, user_id: UserId, room_id: RoomId, ts: int, *, forward: bool) -> StoredEvent:
        """The event nearest to a time that the user may see. Raises: Forbidden, NotFound."""
        view = await self._reading.view(user_id, room_id)
        nids = await self._database.read(history.nearest_in_time, view.room_nid, ts, forward=forward)
        found = await self._events.get(nids)
        stored = [found[nid] for nid in nids if nid in found and not _is_beyond(found[nid], view)]
        visible = await self._visibility.filter(user_id, view.room_nid, stored)
        if not visible:
            direction = "forward" if forward else "backward"
            raise NotFound(f"Unable to find event from {ts} in {direction} direction")
        return visible[0]

    async def see(self, user_id: UserId, view: View, places: Sequence[Place], wanted: EventFilter) -> Seen:
        """What of the events at some places the user may see and wants to."""
        found = await self._events.get(place.nid for place in places)
        seen = await self._visibility.look(
            user_id, view.room_nid, [found[place.nid] for place in places if place.nid in found]
        )
        ignored = await self._ignored(user_id)
        if wanted.is_empty and not ignored:
            return seen
        return evolve(seen, events=list(_wanted(seen.events, wanted, ignored)))

    async def _places(self, span: Span, query: PageQuery, limit: int) -> tuple[list[Place], bool]:
        """Where the next events are, and whether there are more."""
        places = await self._database.read(
            history.find_places, span, query.filter, limit + 1, newest_first=query.backwards
        )
        return places[:limit], len(places) > limit

    async def _stored(self, view: View, event_id: EventId) -> StoredEvent:
        stored = await self._events.find(event_id)
        if stored is None or stored.room_nid != view.room_nid or not stored.visible:
            raise NotFound("Event not found.")
        return stored

    def _span(self, view: View, query: PageQuery, start: Token) -> Span:
        """What the page may lie in."""
        stop = [] if query.stop is None else [query.stop]
        left: list[Token] = [] if view.until is None else [SyncToken(view.until)]
        if not query.backwards:
            return Span(room_nid=view.room_nid, after=[start], upto=left + stop, until=view.until)
        if not isinstance(start, SyncToken):
            return Span(room_nid=view.room_nid, after=stop, upto=[*left, start], until=view.until)
        # The usual token needs no look-up of its place: nothing in the room is newer.
        is_newest = start.position >= self._stream.newest_in_room(view.room_nid)
        until = start.position if view.until is None else min(view.until, start.position)
        return Span(room_nid=view.room_nid, after=stop, upto=left + ([] if is_newest else [start]), until=until)


def _lowest(page: Page) -> Token:
    if not page.seen.events:
        return page.start
    last = page.seen.events[-1]
    return PageToken.before(last.event.depth, last.position)


def _beyond(span: Span, last: Place, backwards: bool) -> Span:
    if backwards:
        return evolve(span, upto=[last.before])
    return evolve(span, after=[last.after])


def _end(places: Sequence[Place], cut: StoredEvent | None, more: bool, query: PageQuery) -> PageToken | None:
    """Where the next page begins: after the last place looked at, or after the event at which the page was `cut`.

    Before the oldest event that a filter lets pass there are others, to which a token leads who asks without it.
    """
    filtered = query.backwards and not query.filter.is_empty
    if cut is not None:
        last = Place(cut.nid, cut.event.depth, cut.position)
    elif places and (more or query.stop is not None or (filtered and places[-1].depth > FIRST_DEPTH)):
        last = places[-1]
    else:
        return None
    return last.before if query.backwards else last.after


def _is_beyond(stored: StoredEvent, view: View) -> bool:
    return view.until is not None and stored.position > view.until


def _wanted(events: Iterable[StoredEvent], wanted: EventFilter, ignored: Collection[str]) -> Iterable[StoredEvent]:
    for stored in events:
        event = stored.event
        if event.sender in ignored and not event.is_state:
            continue
        if wanted.allows(event.type, event.sender, event.room_id, event.content):
            yield stored
