"""Turns: many may ask at once, and none of them takes the time of the others.

For each key (another server, say) only so many requests are worked on at once; who asks more often than is free in a
while is slowed down first, and refused when too many of his wait.

The names are those of Synapse's rc_federation.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock
from matrix.errors import LimitExceeded


@frozen(kw_only=True)
class TurnRules:
    """From `sleep_limit` requests in `window_s` on, each waits for `sleep_s`; `concurrent` are worked on at once.

    When `reject_limit` wait, more are refused.
    """

    window_s: float
    sleep_limit: int
    sleep_s: float
    reject_limit: int
    concurrent: int


@define(eq=False)
class _Line:
    """Those of one key. `times` of the latest requests, oldest first."""

    times: deque[float]
    sleeping: int = 0
    running: int = 0
    waiting: deque[Deferred[None]] = field(factory=deque)

    @property
    def is_idle(self) -> bool:
        return not (self.running or self.sleeping or self.waiting)


class Turns:
    """`async with turns.of(key):` it is the key's turn. Raises: LimitExceeded on entry."""

    def __init__(self, rules: TurnRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._concurrent = max(1, rules.concurrent)
        # Ordered by the last request, oldest first.
        self._lines: OrderedDict[Hashable, _Line] = OrderedDict()

    def of(self, key: Hashable) -> "_Turn":
        return _Turn(self, key)

    def __len__(self) -> int:
        return len(self._lines)

    async def enter(self, key: Hashable) -> None:
        line = self._line(key)
        if line.sleeping + len(line.waiting) >= self._rules.reject_limit:
            raise LimitExceeded(int(self._rules.window_s * 1000 / max(1, self._rules.sleep_limit)))
        if self._is_hasty(line):
            line.sleeping += 1
            try:
                await self._clock.sleep(self._rules.sleep_s)
            finally:
                line.sleeping -= 1
        if line.running < self._concurrent:
            line.running += 1
            return
        # Cancelled while waiting: it leaves the line, and its turn never comes.
        turn: Deferred[None] = Deferred(line.waiting.remove)
        line.waiting.append(turn)
        await turn

    def leave(self, key: Hashable) -> None:
        line = self._lines[key]
        if not line.waiting:
            line.running -= 1
            return
        # Not at once: who is done without waiting would call the next from within, and that one the one after.
        self._clock.later(0, self._call_next, line)

    @staticmethod
    def _call_next(line: _Line) -> None:
        if line.waiting:
            line.waiting.popleft().callback(None)
        else:
            line.running -= 1

    def _line(self, key: Hashable) -> _Line:
        self._trim()
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(deque(maxlen=self._rules.sleep_limit + 1))
        self._lines.move_to_end(key)
        return line

    def _is_hasty(self, line: _Line) -> bool:
        """Counts the request, and says whether there were too many lately."""
        now = self._clock.seconds()
        line.times.append(now)
        return len(line.times) > self._rules.sleep_limit and line.times[0] > now - self._rules.window_s

    def _trim(self) -> None:
        """Two looks at the oldest for each request keep up with one new key for each request."""
        for _ in range(min(2, len(self._lines))):
            key, line = next(iter(self._lines.items()))
            if not line.is_idle:
                self._lines.move_to_end(key)
            elif line.times and line.times[-1] > self._clock.seconds() - self._rules.window_s:
                return
            else:
                del self._lines[key]


class _Turn:
    __slots__ = ("_key", "_turns")

    def __init__(self, turns: Turns, key: Hashable) -> None:
        self._turns = turns
        self._key = key

    async def __aenter__(self) -> None:
        await self._turns.enter(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._turns.leave(self._key)
