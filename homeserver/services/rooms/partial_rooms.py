"""Which rooms are known in part only, and since when others are known whole: in memory, a fold of the stream.

A room that was joined with most members left out can be used at once. What needs all of them waits here until the state
is completed in the background (remote/completion.py).

Source: MSC3902; server-server API, PUT /send_join, `omit_members`.
"""

from collections.abc import Collection, Sequence

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from matrix.errors import MatrixError
from matrix.ids import ServerName
from storage import partial_rooms
from storage.change import Entry, Kind
from storage.database import Database
from storage.partial_rooms import PartialRow

# Whoever waits for a room to be whole is told after so long to come back.
PATIENCE_S = 120.0
BEGUN, COMPLETED = "begun", "completed"


class PartialRooms:
    """`load` before anything is asked."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._partial: set[int] = set()
        self._completed: dict[int, int] = {}
        self._waiting: dict[int, set[Deferred[None]]] = {}

    async def load(self) -> list[PartialRow]:
        """Gives those that are to be completed."""
        rows = await self._database.read(partial_rooms.find_all)
        for row in rows:
            if row.completed is not None:
                self._completed.setdefault(row.room_nid, row.completed)
            elif row.room_nid not in self._completed:
                self._partial.add(row.room_nid)
        return [row for row in rows if row.room_nid in self._partial]

    def is_partial(self, room_nid: int) -> bool:
        return room_nid in self._partial

    def all(self) -> list[int]:
        """The rooms that are known in part."""
        return list(self._partial)

    def hidden(self, room_nids: Collection[int], upto: int) -> set[int]:
        """Those of the rooms that are not whole at the position."""
        if not self._partial and not self._completed:
            return set()
        return {nid for nid in room_nids if nid in self._partial or self._completed.get(nid, 0) > upto}

    def completed_since(self, room_nids: Collection[int], since: int) -> set[int]:
        """Those of the rooms that have become whole after the position."""
        if not self._completed:
            return set()
        return {nid for nid in room_nids if self._completed.get(nid, 0) > since}

    async def servers_of(self, room_nid: int) -> Sequence[ServerName]:
        """Of a room that is known in part: the servers in it, by the word of the first."""
        if room_nid not in self._partial:
            return ()
        row = await self._database.read(partial_rooms.find, room_nid)
        return () if row is None else row.servers

    async def whole(self, room_nid: int, patience_s: float = PATIENCE_S) -> None:
        """Comes back when the room is known whole. Raises: MatrixError 503, if that takes too long."""
        while room_nid in self._partial:
            waiting: Deferred[None] = Deferred()
            self._waiting.setdefault(room_nid, set()).add(waiting)
            timer = self._clock.later(patience_s, waiting.cancel)
            try:
                await waiting
            except CancelledError as error:
                if timer.active():
                    raise  # whoever asked has gone
                raise MatrixError(503, "M_UNKNOWN", "The room's members are not known yet, try again") from error
            finally:
                self._waiting.get(room_nid, set()).discard(waiting)
                if timer.active():
                    timer.cancel()

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is not Kind.ROOM or entry.user_id is not None or entry.room_nid is None:
                continue
            if entry.body.get("partial") == BEGUN:
                self._partial.add(entry.room_nid)
                self._completed.pop(entry.room_nid, None)
            elif entry.body.get("partial") == COMPLETED:
                self._complete(entry.room_nid, entry.position)

    def _complete(self, room_nid: int, position: int) -> None:
        self._partial.discard(room_nid)
        self._completed[room_nid] = position
        # The other readers of the stream first.
        self._clock.later(0, self._let_go_on, self._waiting.pop(room_nid, set()))

    @staticmethod
    def _let_go_on(waiting: "set[Deferred[None]]") -> None:
        for one in list(waiting):
            if not one.called:
                one.callback(None)
