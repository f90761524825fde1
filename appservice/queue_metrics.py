"""What an operator's monitoring sees of the queues of application services, by the service's id."""

from collections.abc import Callable

from appservice.queue import Queue
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics

_LABELS = ["service"]


class QueueCounts:
    """What only grows."""

    def __init__(self, metrics: Metrics) -> None:
        self._sent = metrics.counter("appservice_transactions_sent", "Transactions that a service took", _LABELS)
        self._failed = metrics.counter("appservice_transactions_failed", "Attempts that a service refused", _LABELS)
        self._events = metrics.counter("appservice_events", "Events put into transactions", _LABELS)

    def sent(self, service_id: str) -> None:
        self._sent.labels(service_id).inc()

    def failed(self, service_id: str) -> None:
        self._failed.labels(service_id).inc()

    def events(self, service_id: str, count: int) -> None:
        self._events.labels(service_id).inc(count)


class QueueGauges:
    """What is asked for when somebody scrapes, of the queues of this process. `head` is the stream's position."""

    def __init__(self, metrics: Metrics, *, head: Callable[[], int], clock: Clock) -> None:
        self._head = head
        self._clock = clock
        self._length = metrics.gauge(
            "appservice_queue_positions", "Positions of the stream that a service has not been told yet", _LABELS
        )
        self._age = metrics.gauge(
            "appservice_queue_age_seconds", "Age of the transaction that a service has not taken yet", _LABELS
        )
        self._failures = metrics.gauge(
            "appservice_queue_failures", "How often in a row a service did not take its transaction", _LABELS
        )

    def add(self, queue: Queue) -> None:
        """From now on the service has values, until it is removed."""
        service_id = queue.registration.id
        self._length.labels(service_id).set_function(lambda: self._head() - queue.position)
        self._age.labels(service_id).set_function(lambda: self._age_of(queue))
        self._failures.labels(service_id).set_function(lambda: queue.failures)

    def remove(self, service_id: str) -> None:
        for gauge in (self._length, self._age, self._failures):
            gauge.remove(service_id)

    def _age_of(self, queue: Queue) -> float:
        if queue.under_way is None:
            return 0
        return max(0, self._clock.now_ms() - queue.under_way.made_ms) / 1000
