"""Metrics: one registry, one prefix."""

from prometheus_client import CollectorRegistry

from homeserver.runtime.metrics import Metrics


def test_names_get_the_prefix_once() -> None:
    metrics = Metrics()
    metrics.counter("events", "Events").inc()
    metrics.counter("hearth_commits", "Commits").inc(2)
    text = metrics.exposition()[0].decode()
    assert "hearth_events_total 1.0" in text
    assert "hearth_commits_total 2.0" in text


def test_the_same_name_is_the_same_metric() -> None:
    metrics = Metrics()
    assert metrics.counter("events", "Events") is metrics.counter("events", "Events")


def test_two_servers_in_one_process_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.counter("events", "Events").inc()
    assert other.registry.get_sample_value("hearth_events_total") is None


def test_the_registry_may_be_given() -> None:
    registry = CollectorRegistry()
    Metrics(registry).gauge("waiting", "Waiting requests").set(3)
    assert registry.get_sample_value("hearth_waiting") == 3


def test_a_gauge_may_be_asked_at_the_time_of_the_scrape() -> None:
    metrics, waiting = Metrics(), [1, 2]
    metrics.gauge_of("waiting", "Waiting requests", lambda: len(waiting))
    waiting.append(3)
    assert metrics.registry.get_sample_value("hearth_waiting") == 3


def test_a_histogram_has_buckets_for_seconds() -> None:
    metrics = Metrics()
    metrics.histogram("request_seconds", "Requests", ["route"]).labels("sync").observe(0.003)
    labels = {"route": "sync", "le": "0.005"}
    assert metrics.registry.get_sample_value("hearth_request_seconds_bucket", labels) == 1
