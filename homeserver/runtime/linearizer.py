"""One at a time for each key: the lock of a room, a user, a destination."""

from collections import deque
from collections.abc import Hashable

from twisted.internet.defer import Deferred

from matrix.errors import LimitExceeded

# Whoever finds the queue full is told to come back after this long.
_RETRY_AFTER_MS = 1000


class Linearizer:
    """Locks by key, in the order of asking. Nothing is kept for a key that nobody holds."""

    def __init__(self, max_waiting: int | None = None) -> None:
        """`max_waiting`: how many may wait for one key; more are refused with LimitExceeded."""
        self._max_waiting = max_waiting
        self._waiting: dict[Hashable, deque[Deferred[None]]] = {}
        self._handing_over: set[Hashable] = set()
        self._freed: set[Hashable] = set()

    def of(self, key: Hashable) -> "_Held":
        """`async with linearizer.of(key):` nobody else is inside for this key.

        Raises: LimitExceeded on entry, if too many wait already.
        """
        return _Held(self, key)

    def is_held(self, key: Hashable) -> bool:
        return key in self._waiting

    def waiting(self, key: Hashable) -> int:
        """How many wait for the key, its holder not counted."""
        return len(self._waiting.get(key, ()))

    async def acquire(self, key: Hashable) -> None:
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            return
        if self._max_waiting is not None and len(queue) >= self._max_waiting:
            raise LimitExceeded(_RETRY_AFTER_MS)
        # Cancelled while waiting: it leaves the queue, and the lock never comes to it.
        turn: Deferred[None] = Deferred(queue.remove)
        queue.append(turn)
        await turn

    def release(self, key: Hashable) -> None:
        """Wakes the next. A loop, not a recursion: a thousand waiters may each finish without waiting themselves."""
        if key in self._handing_over:
            self._freed.add(key)
            return
        self._handing_over.add(key)
        try:
            while queue := self._waiting[key]:
                self._freed.discard(key)
                queue.popleft().callback(None)
                if key not in self._freed:
                    return
            del self._waiting[key]
        finally:
            self._handing_over.discard(key)
            self._freed.discard(key)


class _Held:
    """A tenth of the cost of contextlib's: every event that is sent comes by."""

    __slots__ = ("_key", "_linearizer")

    def __init__(self, linearizer: Linearizer, key: Hashable) -> None:
        self._linearizer = linearizer
        self._key = key

    async def __aenter__(self) -> None:
        await self._linearizer.acquire(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._linearizer.release(self._key)
