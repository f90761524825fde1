"""What a destination has missed while it did not answer, found when it answers again.

A short absence is made up in full, in order. After a long one the newest event of each room tells the rest: it refers
to what came before, which the other server asks for as far as it wants it. So a destination that is away costs one
row, whatever happens meanwhile. EDUs that must arrive are kept; so are the newest receipts. Who typed is history.

Source: server-server API, "Transactions"; Synapse's catch-up.
"""

from collections.abc import Sequence

from attrs import define, field, frozen

from federation.outbound.edus import Edu, Receipt, Waiting
from matrix.ids import ServerName
from storage import federation_missed as rows
from storage.database import Database
from storage.events import Events, StoredEvent

# So many events are sent one by one, if they lie within so many positions: ten transactions.
MAX_IN_FULL = 500
MAX_POSITIONS = 200_000
MAX_BROADCASTS = 1_000
MAX_RECEIPTS = 1_000

# (position, number)
_Event = tuple[int, int]


@define(eq=False)
class Behind:
    """A destination that does not answer, or has not been told everything since it did not.

    `position`: up to it everything was told. `failures` in a row, and until when it is left alone beside the pauses
    that all requests keep (destinations.py).
    """

    position: int
    failures: int = 0
    not_before_s: float = 0.0
    # Events that it has to hear though it was not in their rooms, as far as this process knows of them.
    aside: set[_Event] = field(factory=set)


@frozen
class Missed:
    events: Sequence[_Event]
    edus: Sequence[Waiting]

    def __bool__(self) -> bool:
        return bool(self.events or self.edus)


class CatchUp:
    def __init__(self, *, database: Database, events: Events, ours: Sequence[ServerName]) -> None:
        self._database = database
        self._events = events
        self._ours = list(ours)

    async def missed(self, destination: ServerName, behind: Behind, upto: int) -> Missed:
        """What happened up to `upto` that the destination has to hear."""
        after = behind.position
        if upto <= after:
            return Missed((), ())
        events = await self._missed_events(destination, after, upto)
        aside = {one for one in behind.aside if after < one[0] <= upto}
        return Missed(sorted(aside.union(events)), await self._edus(destination, after, upto))

    async def load(self, events: Sequence[_Event]) -> list[StoredEvent]:
        """Those that are still there, in order."""
        found = await self._events.get([nid for _, nid in events])
        return [found[nid] for _, nid in events if nid in found]

    async def _missed_events(self, destination: ServerName, after: int, upto: int) -> Sequence[_Event]:
        read, ours = self._database.read, self._ours
        if upto - after <= MAX_POSITIONS:
            found = await read(rows.all_events, destination, ours, after, upto, MAX_IN_FULL + 1)
            if len(found) <= MAX_IN_FULL:
                return found
        return await read(rows.newest_events, destination, ours, after, upto)

    async def _edus(self, destination: ServerName, after: int, upto: int) -> list[Waiting]:
        edus: list[Waiting] = []
        since = after
        while True:
            some = await self._database.read(rows.broadcasts, destination, since, upto, MAX_BROADCASTS)
            edus += [Edu(edu.edu_type, edu.content, edu.key, edu.position) for edu in some]
            if len(some) < MAX_BROADCASTS:
                break
            since = some[-1].position
        receipts = await self._database.read(rows.receipts, destination, self._ours, after, upto, MAX_RECEIPTS)
        return edus + [Receipt(room_id, user_id, body) for room_id, user_id, body in receipts]
