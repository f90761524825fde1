"""Token buckets by key: how often somebody may do something.

A bucket is one number, the time at which it will be full again ("generic cell rate algorithm"). A full bucket is the
same as no bucket, so memory is bounded by who was active within the last `burst / per_second` seconds.
"""

import math
from collections.abc import Hashable

from homeserver.runtime.clock import Clock
from matrix.errors import LimitExceeded

# Above it the bucket touched longest ago is forgotten, in favour of whoever it belongs to. About 10 MB.
MAX_KEYS = 100_000
# Zero in a configuration means "the burst and then nothing": one token in twelve days is near enough.
_LEAST_PER_SECOND = 1e-6


class RateLimit:
    """Allows `burst` at once and `per_second` in the long run, for each key on its own; None may do all it wants."""

    def __init__(self, per_second: float, burst: float, clock: Clock) -> None:
        self._seconds_each = 1 / max(per_second, _LEAST_PER_SECOND)
        self._burst = max(burst, 1)
        self._clock = clock
        # Ordered by the last take, oldest first.
        self._full_at: dict[Hashable, float] = {}

    def take(self, key: Hashable, n: float = 1) -> None:
        """Takes `n` tokens. More than a whole bucket is taken as a whole bucket, which can be had at least once.

        Raises: LimitExceeded, and then nothing is taken.
        """
        if key is None:
            return
        now = self._clock.seconds()
        full_at = self._after(key, n, now)
        self._full_at.pop(key, None)
        self._full_at[key] = full_at
        self._trim(now)

    def check(self, key: Hashable, n: float = 1) -> None:
        """Raises LimitExceeded if `take` would, and takes nothing."""
        if key is not None:
            self._after(key, n, self._clock.seconds())

    def owe(self, key: Hashable, n: float) -> None:
        """Takes `n` tokens whether they are there or not: for what is known only when it has been done."""
        if key is None:
            return
        now = self._clock.seconds()
        full_at = max(self._full_at.pop(key, now), now) + n * self._seconds_each
        self._full_at[key] = full_at
        self._trim(now)

    def forget(self, key: Hashable) -> None:
        """Fills the key's bucket: what was counted against it turned out well."""
        self._full_at.pop(key, None)

    def __len__(self) -> int:
        return len(self._full_at)

    def _after(self, key: Hashable, n: float, now: float) -> float:
        full_at = max(self._full_at.get(key, now), now) + min(n, self._burst) * self._seconds_each
        too_early_s = full_at - now - self._burst * self._seconds_each
        # A microsecond of grace: the sums above are not exact, and "wait 0 ms" helps nobody.
        if too_early_s > 1e-6:
            raise LimitExceeded(retry_after_ms=math.ceil(too_early_s * 1000))
        return full_at

    def _trim(self, now: float) -> None:
        # Two looks at the oldest for each take keep up with one new key for each take.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MAX_KEYS:
                return
            del self._full_at[oldest]
            if not self._full_at:
                return
