"""Turns: so many at once for each key, slower for the hasty, and an end for those who do not stop."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock as TestClock

from homeserver.runtime.clock import Clock
from homeserver.runtime.turns import TurnRules, Turns
from matrix.errors import LimitExceeded

RULES = TurnRules(window_s=1.0, sleep_limit=100, sleep_s=0.5, reject_limit=3, concurrent=2)


class Visitor:
    """Somebody who takes a turn until told to go."""

    def __init__(self, turns: Turns, key: str) -> None:
        self.inside, self.go = False, Deferred[None]()
        self.error: BaseException | None = None
        self.visit = Deferred.fromCoroutine(self._visit(turns, key))
        self.visit.addErrback(lambda failure: setattr(self, "error", failure.value))

    async def _visit(self, turns: Turns, key: str) -> None:
        async with turns.of(key):
            self.inside = True
            try:
                await self.go
            finally:
                self.inside = False


def visitors(turns: Turns, key: str, count: int) -> list[Visitor]:
    return [Visitor(turns, key) for _ in range(count)]


def inside(those: list[Visitor]) -> list[bool]:
    return [one.inside for one in those]


def test_only_so_many_of_one_key_are_inside_at_once() -> None:
    turns = Turns(RULES, Clock(TestClock()))
    assert inside(visitors(turns, "a", 3)) == [True, True, False]


def test_who_waits_comes_when_another_leaves() -> None:
    clock = TestClock()
    those = visitors(Turns(RULES, Clock(clock)), "a", 4)
    those[0].go.callback(None)
    clock.advance(0)
    assert inside(those) == [False, True, True, False]


def test_one_key_does_not_wait_for_another() -> None:
    turns = Turns(RULES, Clock(TestClock()))
    visitors(turns, "a", 5)
    assert inside(visitors(turns, "b", 2)) == [True, True]


def test_when_too_many_wait_more_are_refused() -> None:
    those = visitors(Turns(RULES, Clock(TestClock())), "a", 6)
    assert isinstance(those[-1].error, LimitExceeded)
    assert [one.error for one in those[:-1]] == [None] * 5


def test_the_hasty_are_slowed_down() -> None:
    clock = TestClock()
    turns = Turns(TurnRules(window_s=1, sleep_limit=2, sleep_s=0.5, reject_limit=9, concurrent=9), Clock(clock))
    those = visitors(turns, "a", 3)
    assert inside(those) == [True, True, False]
    clock.advance(0.5)
    assert those[-1].inside


def test_haste_is_forgotten_after_the_window() -> None:
    clock = TestClock()
    turns = Turns(TurnRules(window_s=1, sleep_limit=2, sleep_s=0.5, reject_limit=9, concurrent=9), Clock(clock))
    visitors(turns, "a", 2)
    clock.advance(1.1)
    assert Visitor(turns, "a").inside


def test_who_gives_up_waiting_takes_no_turn() -> None:
    clock = TestClock()
    those = visitors(Turns(RULES, Clock(clock)), "a", 4)
    those[2].visit.cancel()
    those[0].go.callback(None)
    clock.advance(0)
    assert isinstance(those[2].error, CancelledError)
    assert inside(those) == [False, True, False, True]


def test_who_gives_up_inside_leaves() -> None:
    clock = TestClock()
    those = visitors(Turns(RULES, Clock(clock)), "a", 3)
    those[0].visit.cancel()
    clock.advance(0)
    assert inside(those) == [False, True, True]


def test_a_long_line_of_those_who_do_not_wait_is_no_deep_recursion() -> None:
    clock = TestClock()
    rules = TurnRules(window_s=1, sleep_limit=9999, sleep_s=0.5, reject_limit=9999, concurrent=1)
    those = visitors(Turns(rules, Clock(clock)), "a", 2000)
    for one in those:
        one.go.callback(None)
    for _ in those:
        clock.advance(0)
    assert all(one.visit.called and one.error is None for one in those)


@pytest.mark.parametrize("count", [10, 1000])
def test_keys_that_ask_no_more_are_forgotten(count: int) -> None:
    clock = TestClock()
    turns = Turns(RULES, Clock(clock))
    for number in range(count):
        Visitor(turns, str(number)).go.callback(None)
        clock.advance(1.5)
    assert len(turns) <= 3
