"""A bounded cache that forgets what was used longest ago, and, if asked to, what is too old."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar, cast, overload

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_ABSENT: Any = object()


class Lru(Generic[K, V]):
    """At most `max_size` values by key. `max_size=0` keeps nothing.

    Who fills it from a query must see to it that no invalidation came in between: see `version`.
    """

    def __init__(
        self,
        name: str,
        max_size: int,
        clock: Clock | None = None,
        ttl_s: float | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        if ttl_s is not None and clock is None:
            raise ValueError(f"cache {name}: a time to live needs a clock")
        self.name, self._max_size = name, max_size
        self._clock, self._ttl_s = clock, ttl_s
        self._values: OrderedDict[K, V] = OrderedDict()
        self._deadlines: dict[K, float] = {}
        self.hits = self.misses = self.evictions = 0
        # Grows with every invalidation: note it before a query, and drop the query's result if it moved meanwhile.
        self.version = 0
        if metrics is not None:
            metrics.watch_cache(self)

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: object = None) -> object:
        """The value, now the freshest; `default` if it is not there or too old."""
        value = self._values.get(key, _ABSENT)
        # Most caches know no age, and this is the hottest line of the server.
        if value is _ABSENT or (self._clock is not None and self._expired(key)):
            self.misses += 1
            return default
        self.hits += 1
        self._values.move_to_end(key)
        return value

    def set(self, key: K, value: V) -> None:
        """Keeps the value, pushing out what was used longest ago."""
        self._values[key] = value
        self._values.move_to_end(key)
        if self._clock is not None and self._ttl_s is not None:
            self._deadlines[key] = self._clock.seconds() + self._ttl_s
        while len(self._values) > self._max_size:
            oldest, _ = self._values.popitem(last=False)
            self._deadlines.pop(oldest, None)
            self.evictions += 1

    def set_if_unchanged(self, key: K, value: V, version: int) -> None:
        """Keeps the value of a query that began at this `version`, unless something was invalidated since."""
        if version == self.version:
            self.set(key, value)

    @overload
    def pop(self, key: K) -> V | None: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: object = None) -> object:
        """The value, taken out; `default` if it is not there or too old. Not counted as a look-up."""
        expired = self._expired(key)
        self._deadlines.pop(key, None)
        value = self._values.pop(key, _ABSENT)
        return default if expired or value is _ABSENT else value

    def invalidate(self, key: K) -> None:
        """Forgets the key: what was known of it is no longer true."""
        self.version += 1
        self._values.pop(key, None)
        self._deadlines.pop(key, None)

    def clear(self) -> None:
        """Forgets everything."""
        self.version += 1
        self._values.clear()
        self._deadlines.clear()

    def __contains__(self, key: object) -> bool:
        return key in self._values and not self._expired(cast(K, key))

    def __len__(self) -> int:
        return len(self._values)

    def _expired(self, key: K) -> bool:
        """Is it too old? Then it is gone after this call."""
        if self._clock is None or self._deadlines.get(key, float("inf")) > self._clock.seconds():
            return False
        del self._values[key], self._deadlines[key]
        return True
