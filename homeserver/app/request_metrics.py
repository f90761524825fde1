"""Counts and times of requests, by route."""

from prometheus_client import Counter, Histogram

from homeserver.runtime.metrics import Metrics
from homeserver.web.call import Call

# Long-polls wait for half a minute by intention.
_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class RequestMetrics:
    """An observer for a router. Labels are the pattern of a route's first path, never what stands in its place."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ["method", "route", "status"]
        self._answered = metrics.counter("http_requests", "Requests answered", labels)
        self._seconds = metrics.histogram("http_request_seconds", "From request to answer", ["route"], _BUCKETS)
        # Finding a metric by its labels costs more than counting.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def __call__(self, call: Call, route: str, status: int, seconds: float) -> None:
        # A client may call its method what it wants.
        method = call.method if call.method in _METHODS else "other"
        key = (method, route, status)
        known = self._known.get(key)
        if known is None:
            known = self._answered.labels(method, route, str(status)), self._seconds.labels(route)
            self._known[key] = known
        known[0].inc()
        known[1].observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
