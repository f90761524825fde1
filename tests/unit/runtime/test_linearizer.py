"""The linearizer: one at a time for each key, in order, and nothing kept for a free key."""

from itertools import pairwise

import pytest
from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.linearizer import Linearizer
from matrix.errors import LimitExceeded


class Visitor:
    """Somebody who enters for a key and stays until told to go."""

    def __init__(self, linearizer: Linearizer, key: str) -> None:
        self.inside, self.go = False, Deferred[None]()
        self.error: BaseException | None = None
        self.visit = Deferred.fromCoroutine(self._visit(linearizer, key))
        self.visit.addErrback(self._failed)

    async def _visit(self, linearizer: Linearizer, key: str) -> None:
        async with linearizer.of(key):
            self.inside = True
            try:
                await self.go
            finally:
                self.inside = False

    def _failed(self, failure: object) -> None:
        self.error = failure.value  # type: ignore[attr-defined]


def test_the_second_enters_when_the_first_has_left() -> None:
    linearizer = Linearizer()
    first, second = Visitor(linearizer, "a"), Visitor(linearizer, "a")
    assert (first.inside, second.inside) == (True, False)
    first.go.callback(None)
    assert (first.inside, second.inside) == (False, True)


def test_keys_do_not_wait_for_each_other() -> None:
    linearizer = Linearizer()
    assert Visitor(linearizer, "a").inside
    assert Visitor(linearizer, "b").inside


def test_they_enter_in_the_order_of_asking() -> None:
    linearizer = Linearizer()
    visitors = [Visitor(linearizer, "a") for _ in range(4)]
    for leaving, entering in pairwise(visitors):
        leaving.go.callback(None)
        assert entering.inside


def test_an_error_inside_frees_the_key() -> None:
    linearizer = Linearizer()
    first, second = Visitor(linearizer, "a"), Visitor(linearizer, "a")
    first.go.errback(KeyError("x"))
    assert isinstance(first.error, KeyError)
    assert second.inside


def test_one_cancelled_while_waiting_is_passed_over() -> None:
    linearizer = Linearizer()
    first, second, third = (Visitor(linearizer, "a") for _ in range(3))
    second.visit.cancel()
    assert isinstance(second.error, CancelledError)
    first.go.callback(None)
    assert third.inside


def test_one_cancelled_inside_frees_the_key() -> None:
    linearizer = Linearizer()
    first, second = Visitor(linearizer, "a"), Visitor(linearizer, "a")
    first.visit.cancel()
    assert second.inside


def test_a_full_queue_refuses() -> None:
    linearizer = Linearizer(max_waiting=1)
    first, waiting, refused = (Visitor(linearizer, "a") for _ in range(3))
    assert isinstance(refused.error, LimitExceeded)
    first.go.callback(None)
    assert waiting.inside


def test_nothing_is_kept_for_a_free_key() -> None:
    linearizer = Linearizer()
    visitors = [Visitor(linearizer, "a") for _ in range(3)]
    assert linearizer.waiting("a") == 2
    for visitor in visitors:
        visitor.go.callback(None)
    assert not linearizer.is_held("a")
    assert linearizer.waiting("a") == 0


def test_ten_thousand_that_need_not_wait_inside_do_not_exhaust_the_stack() -> None:
    linearizer, entered = Linearizer(), list[int]()
    first = Visitor(linearizer, "a")

    async def brief(number: int) -> None:
        async with linearizer.of("a"):
            entered.append(number)

    for number in range(10_000):
        Deferred.fromCoroutine(brief(number))
    first.go.callback(None)
    assert entered == list(range(10_000))
    assert not linearizer.is_held("a")


def test_one_who_asks_again_while_the_key_is_handed_over_gets_its_turn() -> None:
    linearizer, entered = Linearizer(), list[str]()
    first = Visitor(linearizer, "a")

    async def twice() -> None:
        for name in ("once", "again"):
            async with linearizer.of("a"):
                entered.append(name)

    Deferred.fromCoroutine(twice())
    first.go.callback(None)
    assert entered == ["once", "again"]


@pytest.mark.parametrize("leaves_by", ["callback", "cancel"])
def test_the_holder_may_come_back_later(leaves_by: str) -> None:
    linearizer = Linearizer()
    first = Visitor(linearizer, "a")
    first.go.callback(None) if leaves_by == "callback" else first.visit.cancel()
    assert Visitor(linearizer, "a").inside
