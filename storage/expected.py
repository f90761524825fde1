"""Events that are about to come, and of which a look has just shown that the database has nothing.

So that each step of taking them in need not look again. It holds for one process and a short time: whoever writes
such an event after another process did so learns that it is there (AlreadyThere), and calls `doubt`.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from matrix.ids import EventId

# What other events refer to is remembered for longer than a look into the database takes.
_MAX_REFERRED = 1_000


class Expected:
    def __init__(self) -> None:
        self._absent: Counter[EventId] = Counter()
        self._referred: set[EventId] = set()
        self._lately: OrderedDict[EventId, None] = OrderedDict()

    @contextmanager
    def these(self, absent: Collection[EventId], referred: Collection[str]) -> Iterator[None]:
        """Meanwhile `absent` are taken to be nowhere until they are there; `referred` are those that others name."""
        self._absent.update(absent)
        self._referred.update(one for one in absent if one in referred or one in self._lately)
        try:
            yield
        finally:
            for one in absent:
                if self._absent[one] <= 1:
                    self.doubt(one)
                else:
                    self._absent[one] -= 1

    def is_absent(self, event_id: EventId) -> bool:
        """Is it known that the event is not here?"""
        return event_id in self._absent

    def is_unreferred(self, event_id: EventId) -> bool:
        """Is it known that the event is not here, and that no other that is here names it?"""
        return event_id in self._absent and event_id not in self._referred

    def doubt(self, event_id: EventId) -> None:
        """It is here now, or may be."""
        self._absent.pop(event_id, None)
        self._referred.discard(event_id)

    def refer(self, event_id: EventId) -> None:
        """An event that is here, or is about to be, names this one."""
        if event_id in self._absent:
            self._referred.add(event_id)
        self._lately[event_id] = None
        if len(self._lately) > _MAX_REFERRED:
            self._lately.popitem(last=False)
