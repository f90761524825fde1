"""The clock: time that a test moves by hand."""

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock


def test_wall_time_is_whole_milliseconds() -> None:
    reactor = task.Clock()
    reactor.advance(1.2345)
    assert Clock(reactor).now_ms() == 1234


def test_seconds_come_from_the_monotonic_source_if_there_is_one() -> None:
    assert Clock(task.Clock(), monotonic=lambda: 17.5).seconds() == 17.5


def test_a_sleeper_wakes_when_its_time_has_come() -> None:
    reactor = task.Clock()
    sleeping = Deferred.fromCoroutine(Clock(reactor).sleep(3))
    reactor.advance(2.9)
    assert not sleeping.called
    reactor.advance(0.1)
    assert sleeping.called


def test_a_cancelled_sleeper_leaves_no_timer() -> None:
    reactor = task.Clock()
    sleeping = Deferred.fromCoroutine(Clock(reactor).sleep(3))
    sleeping.addErrback(lambda _: None)
    sleeping.cancel()
    assert reactor.getDelayedCalls() == []


def test_later_calls_once_with_its_arguments() -> None:
    reactor, calls = task.Clock(), list[tuple[object, ...]]()
    Clock(reactor).later(1, lambda *args: calls.append(args), "a", 2)
    reactor.pump([1, 1, 1])
    assert calls == [("a", 2)]


def test_what_finishes_in_time_gives_its_result_and_leaves_no_timer() -> None:
    reactor = task.Clock()
    waited: Deferred[str] = Deferred()
    outcome = Deferred.fromCoroutine(Clock(reactor).timeout(waited, 5))
    waited.callback("done")
    results: list[str] = []
    outcome.addCallback(results.append)
    assert results == ["done"]
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize("as_coroutine", [False, True])
def test_what_is_too_slow_is_cancelled_and_raises_timeout_error(as_coroutine: bool) -> None:
    reactor, cancelled = task.Clock(), list[object]()
    waited: Deferred[None] = Deferred(cancelled.append)

    async def wait() -> None:
        await waited

    outcome = Deferred.fromCoroutine(Clock(reactor).timeout(wait() if as_coroutine else waited, 5))
    errors: list[BaseException] = []
    outcome.addErrback(lambda failure: errors.append(failure.value))
    reactor.advance(5)
    assert [type(error) for error in errors] == [TimeoutError]
    assert cancelled == [waited]


def test_an_error_of_its_own_comes_through() -> None:
    async def fail() -> None:
        raise KeyError("x")

    errors: list[BaseException] = []
    outcome = Deferred.fromCoroutine(Clock(task.Clock()).timeout(fail(), 5))
    outcome.addErrback(lambda failure: errors.append(failure.value))
    assert [type(error) for error in errors] == [KeyError]
