"""What waits for one destination that answers, in the order in which it came.

A destination with nothing to hear has no queue, and neither has one that does not answer (catch_up.py).
"""

from collections import deque
from collections.abc import Hashable, Sequence

from attrs import define, field, frozen

from federation.outbound.edus import Waiting
from matrix.ids import ServerName
from storage.events import StoredEvent

# Server-server API, "Transactions".
MAX_PDUS, MAX_EDUS = 50, 100
# Proxies in front of other servers refuse bodies of more than a megabyte, unless somebody has told them otherwise.
MAX_BYTES = 800_000
# Of what need not arrive so much is kept for a destination; the oldest goes first.
MAX_PASSING = 1_000


@frozen
class Batch:
    """What goes into one transaction, beside EDUs from the database."""

    events: Sequence[StoredEvent]
    edus: Sequence[Waiting]


@define(eq=False)
class Queue:
    destination: ServerName
    events: deque[StoredEvent] = field(factory=deque)
    edus: dict[Hashable, Waiting] = field(factory=dict)
    # Where the first of the EDUs that are in the database was announced, and how often one was.
    stored_since: int | None = None
    stored_count: int = 0
    # Position and number of events that it has to hear though it was not in their rooms.
    aside: set[tuple[int, int]] = field(factory=set)
    # The lowest position in the transaction that is under way.
    sending: int | None = None

    @property
    def is_empty(self) -> bool:
        return not self.events and not self.edus and self.stored_since is None

    def add_edu(self, edu: Waiting) -> None:
        """The last of its key."""
        self.edus.pop(edu.key, None)
        self.edus[edu.key] = edu
        if len(self.edus) > MAX_PASSING:
            passing = next((key for key, one in self.edus.items() if one.position is None), None)
            if passing is not None:
                del self.edus[passing]

    def add_stored(self, position: int) -> None:
        """There is an EDU for it in the database."""
        self.stored_since = position if self.stored_since is None else self.stored_since
        self.stored_count += 1

    def oldest(self) -> int | None:
        """The lowest position of what must arrive and has not yet."""
        positions = [self.events[0].position] if self.events else []
        positions += [one.position for one in self.edus.values() if one.position is not None]
        positions += [position for position in (self.stored_since, self.sending) if position is not None]
        return min(positions, default=None)

    def take(self, most_edus: int, *, all_stored: bool) -> Batch:
        """The next transaction. What is in it still counts as the oldest until `sending` is None again.

        `all_stored`: no more EDUs wait in the database than those that the transaction already has.
        """
        self.sending = self.oldest()
        if all_stored:
            self.stored_since = None
        events: list[StoredEvent] = []
        size = 0
        while self.events and len(events) < MAX_PDUS and size < MAX_BYTES:
            events.append(self.events.popleft())
            size += len(events[-1].event.canonical)
        edus = [self.edus.pop(key) for key in list(self.edus)[:most_edus]]
        return Batch(events, edus)
