"""Prometheus metrics: one registry for a server, every name under `hearth_`, nothing global."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

PREFIX = "hearth_"
# From a query in memory (0.5 ms) to a join of a large room (a minute).
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

M = TypeVar("M", bound=MetricWrapperBase)


class WatchedCache(Protocol):
    """What a cache counts of itself: plain integers, because a look-up is too hot for a metric object."""

    name: str
    hits: int
    misses: int
    evictions: int

    def __len__(self) -> int: ...


class Metrics:
    """Makes metrics in one registry. Asking again for a name gives the same metric."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._by_name: dict[str, MetricWrapperBase] = {}
        self._caches = _Caches()
        self.registry.register(self._caches)

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """A count that only grows; Prometheus adds `_total` to its name."""
        return self._once(name, lambda full: Counter(full, help_text, labels, registry=self.registry))

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return self._once(name, lambda full: Gauge(full, help_text, labels, registry=self.registry))

    def histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Histogram:
        """A distribution, of seconds unless other buckets are given."""
        return self._once(
            name, lambda full: Histogram(full, help_text, labels, registry=self.registry, buckets=buckets)
        )

    def gauge_of(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for when somebody scrapes: costs nothing in between."""
        self.gauge(name, help_text).set_function(value)

    def watch_cache(self, cache: WatchedCache) -> None:
        """Shows the cache's counts as `hearth_cache_*{cache="its name"}`."""
        self._caches.watched.append(cache)

    def exposition(self) -> tuple[bytes, str]:
        """The body of a scrape and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _once(self, name: str, make: Callable[[str], M]) -> M:
        full = name if name.startswith(PREFIX) else PREFIX + name
        if full not in self._by_name:
            self._by_name[full] = make(full)
        return self._by_name[full]  # type: ignore[return-value]  # a name is asked for by one kind only


class _Caches(Collector):
    def __init__(self) -> None:
        self.watched: list[WatchedCache] = []

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield self._family(GaugeMetricFamily, "size", "Entries in the cache", len)
        yield self._family(CounterMetricFamily, "hits", "Look-ups answered by the cache", lambda cache: cache.hits)
        yield self._family(CounterMetricFamily, "misses", "Look-ups not answered", lambda cache: cache.misses)
        yield self._family(CounterMetricFamily, "evictions", "Entries pushed out", lambda cache: cache.evictions)

    def describe(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        return self.collect()

    def _family(
        self,
        kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        help_text: str,
        value: Callable[[WatchedCache], int],
    ) -> GaugeMetricFamily | CounterMetricFamily:
        family = kind(f"{PREFIX}cache_{name}", help_text, labels=["cache"])
        for cache in self.watched:
            family.add_metric([cache.name], value(cache))
        return family
