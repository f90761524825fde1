"""Looking into one room, for who is not in it too if anyone may read it: what is there, and what comes.

Source: client-server API, "Room Previews", GET /rooms/{roomId}/initialSync, GET /events with a `room_id`.
"""

from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.reading import View
from homeserver.services.rooms.timeline import Page, PageQuery, Timeline
from homeserver.services.sync.notifier import Notifier
from matrix.ids import RoomId, UserId
from matrix.tokens import SyncToken
from storage.change import Entry, Kind
from storage.history import Token
from storage.stream import Stream

MAX_TIMEOUT_MS = 300_000
# So many of the newest events, or of those that came; the client comes again for more.
MAX_EVENTS = 100


@frozen(kw_only=True)
class Snapshot:
    """`membership` is None for who only looks in. `end` is where `events` goes on; `page` is newest first."""

    membership: str | None
    page: Page
    end: SyncToken


@define(eq=False)
class _Wait:
    """A waiting request. It ends by `wake`, or as the notifier ends what waits for the user."""

    deferred: "Deferred[None]"
    is_woken: bool = False

    def wake(self) -> None:
        self.is_woken = True
        self.deferred.cancel()


class Peeking:
    """`read_stream` wakes those who wait."""

    def __init__(
        self, *, timeline: Timeline, members: Members, stream: Stream, notifier: Notifier, clock: Clock
    ) -> None:
        self._timeline = timeline
        self._members = members
        self._stream = stream
        self._notifier = notifier
        self._clock = clock
        self._waiting: dict[int, set[_Wait]] = {}

    async def snapshot(self, user_id: UserId, room_id: RoomId, limit: int) -> Snapshot:
        """Raises: Forbidden."""
        position = self._stream.position
        start = SyncToken(position)
        page = await self._timeline.page(user_id, room_id, PageQuery(backwards=True, start=start, limit=limit))
        own = (await self._members.rooms_of(user_id)).get(page.view.room_nid)
        return Snapshot(
            membership=None if own is None else own.membership,
            page=page,
            end=start if page.view.until is None else SyncToken(page.view.until),
        )

    async def events(
        self, user_id: UserId, room_id: RoomId, since: Token | None, timeout_ms: int
    ) -> tuple[Page, Token]:
        """What came in the room, as soon as something has, and where to go on. Raises: Forbidden."""
        start = since or SyncToken(self._stream.position)
        deadline = self._clock.seconds() + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
        while True:
            position = self._stream.position
            query = PageQuery(backwards=False, start=start, limit=MAX_EVENTS)
            page = await self._timeline.page(user_id, room_id, query)
            # The database may be ahead of what the stream has told.
            seen = max((stored.position for stored in page.seen.events), default=0)
            end = page.end or SyncToken(max(position, seen, _position(start)))
            if page.seen.events or page.view.until is not None:
                return page, end
            if self._stream.newest_in_room(page.view.room_nid) > position:
                # Of what came while this page was made nobody would wake us.
                continue
            if not await self._woken(user_id, page.view, deadline - self._clock.seconds()):
                return page, end

    def read_stream(self, entries: list[Entry]) -> None:
        if not self._waiting:
            return
        moved = {entry.room_nid for entry in entries if entry.kind is Kind.EVENT}
        for room_nid in moved & self._waiting.keys():
            for wait in list(self._waiting.get(room_nid or 0, ())):
                wait.wake()

    async def _woken(self, user_id: UserId, view: View, seconds: float) -> bool:
        """Waits; False if the time is over, or the server stops."""
        if seconds <= 0 or self._notifier.closed:
            return False
        wait = _Wait(self._notifier.wait(user_id))
        here = self._waiting.setdefault(view.room_nid, set())
        here.add(wait)
        timer = self._clock.later(seconds, wait.wake)
        try:
            await wait.deferred
        except CancelledError:
            if not wait.is_woken:
                raise  # the client has gone
        finally:
            here.discard(wait)
            if not here:
                self._waiting.pop(view.room_nid, None)
            if timer.active():
                timer.cancel()
        return not self._notifier.closed


def _position(token: Token) -> int:
    return token.position if isinstance(token, SyncToken) else 0
