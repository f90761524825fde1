"""What one application service still has to hear, as far as it was read.

Nothing of it is durable but a position and the transaction under way (storage/appservice_queue.py); what lies behind
the position is read again by whoever takes over.
"""

from collections import deque
from collections.abc import Hashable, Sequence

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from appservice.ephemeral import edu_key
from appservice.interest import Interest
from appservice.registration import Registration
from storage.appservice_queue import Outgoing, QueueRow
from storage.appservice_reading import Seen
from storage.change import Kind

# Application service API, as Synapse: of each at most so many in one transaction.
MAX_EVENTS, MAX_EDUS, MAX_MESSAGES = 100, 100, 100


@frozen(kw_only=True)
class Made:
    """A transaction that was made and not begun: of `told`, which lie up to the position `upto`.

    `body` None: there is nothing in them to tell.
    """

    told: Sequence[Seen] = field(repr=False)
    upto: int
    events: int
    body: bytes | None = field(repr=False)


@define(eq=False)
class Queue:
    """`position`: all up to it was taken, or is no concern. `seen`: all up to it was read; what of it concerns the
    service and is in no transaction yet is `chosen`. `interest` is that of the position `seen`; None: to be loaded.
    `made`: what comes after the transaction under way.
    """

    registration: Registration
    position: int
    seen: int
    transaction_id: int
    written: int
    under_way: Outgoing | None = None
    interest: Interest | None = None
    chosen: deque[Seen] = field(factory=deque)
    made: Made | None = None
    # Does the row in the database say that the last transaction was taken?
    is_settled: bool = True
    failures: int = 0
    # How often in a row its next transaction could not even be made.
    stumbles: int = 0
    tried_s: float = float("-inf")
    # Set while it waits for the time of the next attempt.
    pause: Deferred[None] | None = None
    is_running: bool = False
    is_gone: bool = False

    @classmethod
    def of(cls, registration: Registration, row: QueueRow) -> "Queue":
        upto = row.position if row.under_way is None else row.under_way.upto
        return cls(
            registration=registration,
            position=row.position,
            seen=upto,
            transaction_id=row.transaction_id,
            written=row.position,
            under_way=row.under_way,
            is_settled=row.under_way is None,
            failures=row.failures,
        )

    @property
    def is_idle(self) -> bool:
        """Is there nothing that it is known to have to hear?"""
        return not self.is_running and self.is_settled and not self.chosen and self.interest is not None

    def change(self, registration: Registration) -> None:
        """The registration is another one: what is in no transaction yet is judged by it."""
        self.registration = registration
        self.interest = self.made = None
        self.wake()

    def rewind(self) -> int:
        """Forgets what was read and is in no transaction; gives the position to read from."""
        self.chosen.clear()
        self.made = None
        self.seen = self.position if self.under_way is None else self.under_way.upto
        return self.seen

    def wake(self) -> None:
        """Ends the pause before the next attempt."""
        if self.pause is not None and not self.pause.called:
            self.pause.callback(None)

    def next_entries(self) -> list[Seen]:
        """The first of the chosen that one transaction may have."""
        taken: list[Seen] = []
        events = messages = 0
        edus: set[Hashable] = set()
        for one in self.chosen:
            if one.kind in (Kind.EVENT, Kind.ROOM):
                events += 1
            elif one.kind is Kind.TO_DEVICE:
                messages += 1
            elif (key := edu_key(one)) is not None:
                edus.add(key)
            if events > MAX_EVENTS or messages > MAX_MESSAGES or len(edus) > MAX_EDUS:
                break
            taken.append(one)
        return taken

    def take(self) -> Made | None:
        """What was made: its turn has come."""
        made, self.made = self.made, None
        return made

    def put_back(self) -> None:
        """What was made is not begun: it is made again when its turn has come."""
        if (made := self.take()) is not None:
            self.chosen.extendleft(reversed(made.told))

    def drop(self, count: int) -> int:
        """Those are in a transaction; gives up to where nothing else lies."""
        for _ in range(count):
            self.chosen.popleft()
        return self.chosen[0].position - 1 if self.chosen else self.seen
