"""Work that is done once for all who ask at the same time."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock as TwistedClock

from homeserver.runtime.clock import Clock
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks


@pytest.fixture
def shared() -> Shared[str, int]:
    return Shared("test", Tasks(clock=Clock(TwistedClock())))


class Work:
    """Counts how often it is begun; done when a test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.done: Deferred[int] = Deferred()

    async def __call__(self) -> int:
        self.begun += 1
        return await self.done


def test_all_who_ask_get_what_one_did(shared: Shared[str, int]) -> None:
    work, results = Work(), list[Any]()
    for _ in range(3):
        shared.get("a", work).addCallback(results.append)
    assert "a" in shared
    work.done.callback(7)
    assert results == [7, 7, 7] and work.begun == 1 and "a" not in shared


def test_what_waits_for_nothing_is_done_at_once(shared: Shared[str, int]) -> None:
    async def work() -> int:
        return 7

    results: list[Any] = []
    shared.get("a", work).addCallback(results.append)
    assert results == [7]


def test_an_error_is_given_to_all(shared: Shared[str, int]) -> None:
    work, errors = Work(), list[Any]()
    for _ in range(2):
        shared.get("a", work).addErrback(lambda failure: errors.append(failure.type))
    work.done.errback(KeyError("a"))
    assert errors == [KeyError, KeyError]


def test_who_leaves_does_not_end_it(shared: Shared[str, int]) -> None:
    work, results = Work(), list[Any]()
    gone = shared.get("a", work)
    shared.get("a", work).addCallback(results.append)
    gone.addErrback(lambda failure: results.append(failure.type))
    gone.cancel()
    work.done.callback(7)
    assert results == [CancelledError, 7]


def test_after_it_is_done_it_is_begun_anew(shared: Shared[str, int]) -> None:
    first, second = Work(), Work()
    shared.start("a", first)
    shared.start("a", second)
    first.done.callback(1)
    shared.start("a", second)
    assert (first.begun, second.begun) == (1, 1)
