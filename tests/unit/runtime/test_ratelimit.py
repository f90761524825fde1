"""Token buckets."""

import pytest
from twisted.internet import task

from homeserver.runtime import ratelimit
from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from matrix.errors import LimitExceeded


@pytest.fixture
def reactor() -> task.Clock:
    return task.Clock()


def allowed(limit: RateLimit, key: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limit.take(key)
        except LimitExceeded:
            continue
        count += 1
    return count


def test_the_burst_is_allowed_at_once_and_no_more(reactor: task.Clock) -> None:
    assert allowed(RateLimit(0.2, 10, Clock(reactor)), "alice", 30) == 10


def test_tokens_come_back_at_the_rate(reactor: task.Clock) -> None:
    limit = RateLimit(0.5, 3, Clock(reactor))
    allowed(limit, "alice", 3)
    reactor.advance(4)
    assert allowed(limit, "alice", 10) == 2


def test_a_bucket_never_holds_more_than_the_burst(reactor: task.Clock) -> None:
    limit = RateLimit(10, 3, Clock(reactor))
    allowed(limit, "alice", 3)
    reactor.advance(1000)
    assert allowed(limit, "alice", 10) == 3


def test_the_refusal_says_when_to_come_back(reactor: task.Clock) -> None:
    limit = RateLimit(0.5, 1, Clock(reactor))
    limit.take("alice")
    reactor.advance(0.5)
    with pytest.raises(LimitExceeded) as refusal:
        limit.take("alice")
    assert refusal.value.fields["retry_after_ms"] == 1500
    reactor.advance(1.5)
    limit.take("alice")


def test_keys_have_buckets_of_their_own(reactor: task.Clock) -> None:
    limit = RateLimit(1, 1, Clock(reactor))
    limit.take("alice")
    limit.take("bob")


def test_check_takes_nothing(reactor: task.Clock) -> None:
    limit = RateLimit(1, 1, Clock(reactor))
    limit.check("alice")
    limit.check("alice")
    limit.take("alice")
    with pytest.raises(LimitExceeded):
        limit.check("alice")


def test_a_refused_take_costs_nothing(reactor: task.Clock) -> None:
    limit = RateLimit(1, 1, Clock(reactor))
    limit.take("alice")
    allowed(limit, "alice", 100)
    reactor.advance(1)
    limit.take("alice")


def test_several_tokens_at_once(reactor: task.Clock) -> None:
    limit = RateLimit(1, 10, Clock(reactor))
    limit.take("alice", 7)
    with pytest.raises(LimitExceeded):
        limit.take("alice", 4)
    limit.take("alice", 3)


def test_more_than_a_bucket_holds_is_a_whole_bucket(reactor: task.Clock) -> None:
    limit = RateLimit(1, 10, Clock(reactor))
    limit.take("alice", 500)
    with pytest.raises(LimitExceeded):
        limit.take("alice")


def test_a_rate_of_zero_allows_the_burst_only(reactor: task.Clock) -> None:
    limit = RateLimit(0, 2, Clock(reactor))
    assert allowed(limit, "alice", 5) == 2
    reactor.advance(3600)
    assert allowed(limit, "alice", 5) == 0


def test_forgetting_a_key_fills_its_bucket(reactor: task.Clock) -> None:
    limit = RateLimit(0.1, 2, Clock(reactor))
    allowed(limit, "alice", 2)
    limit.forget("alice")
    assert allowed(limit, "alice", 5) == 2


def test_full_buckets_are_not_kept(reactor: task.Clock) -> None:
    limit = RateLimit(1, 2, Clock(reactor))
    for number in range(100):
        limit.take(f"user {number}")
    reactor.advance(2)
    for number in range(60):
        limit.take(f"another {number}")
    assert len(limit) == 60


def test_memory_is_bounded(reactor: task.Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "MAX_KEYS", 50)
    limit = RateLimit(0.001, 1, Clock(reactor))
    for number in range(500):
        limit.take(f"user {number}")
    assert len(limit) <= 50
