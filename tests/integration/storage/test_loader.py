"""Look-ups of one turn of the reactor are one query."""

from collections.abc import Coroutine, Generator

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock

from storage.loader import MAX_KEYS, Loader


class Fetched:
    """Stands for the database: answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.answers: list[Deferred] = []

    def read(self, fetch, keys: list[int]) -> Deferred:
        self.asked.append(keys)
        self.answers.append(Deferred())
        return self.answers[-1]

    def answer(self, found: dict[int, str]) -> None:
        for deferred in self.answers:
            deferred.callback(found)
        self.answers.clear()


@pytest.fixture
def fetched() -> Fetched:
    return Fetched()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loader(fetched: Fetched, clock: Clock) -> Loader[int, str]:
    return Loader(lambda cur, keys: {}, database=fetched, reactor=clock)


def test_many_callers_of_one_turn_cost_one_query(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    waiting = gatherResults([loader.load(key) for key in (1, 2, 1, 3)])
    assert fetched.asked == []
    clock.advance(0)
    assert fetched.asked == [[1, 2, 3]]
    fetched.answer({1: "one", 3: "three"})
    assert waiting.result == ["one", None, "one", "three"]


def test_the_next_turn_is_another_query(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    first = loader.load(1)
    clock.advance(0)
    second = loader.load(1)
    clock.advance(0)
    assert fetched.asked == [[1], [1]]
    fetched.answer({1: "one"})
    assert (first.result, second.result) == ("one", "one")


def test_a_query_has_a_bound(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    waiting = gatherResults([loader.load(key) for key in range(MAX_KEYS + 1)])
    clock.advance(0)
    assert [len(keys) for keys in fetched.asked] == [MAX_KEYS, 1]
    fetched.answer({})
    assert waiting.result == [None] * (MAX_KEYS + 1)


def test_all_callers_hear_of_a_failure(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    waiting = [loader.load(1), loader.load(1), loader.load(2)]
    clock.advance(0)
    fetched.answers[0].errback(KeyError("down"))
    for deferred in waiting:
        deferred.addErrback(lambda failure: failure.check(KeyError))
        assert deferred.result is KeyError


def test_a_caller_that_went_away_takes_nothing_from_the_others(
    loader: Loader[int, str], fetched: Fetched, clock: Clock
) -> None:
    gone, stays = loader.load(1), loader.load(1)
    gone.addErrback(lambda failure: failure.check(CancelledError))
    gone.cancel()
    clock.advance(0)
    fetched.answer({1: "one"})
    assert stays.result == "one"


def test_load_many_gives_what_was_found(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    found = Deferred.fromCoroutine(loader.load_many([1, 2]))
    clock.advance(0)
    fetched.answer({2: "two"})
    assert found.result == {2: "two"}


class Wakings:
    """A coroutine, and how often it has waited."""

    def __init__(self, coroutine: Coroutine) -> None:
        self.count = 0
        self._coroutine = coroutine

    def __await__(self) -> Generator:
        value = None
        while True:
            try:
                waited = self._coroutine.send(value)
            except StopIteration as done:
                return done.value
            self.count += 1
            value = yield waited


def test_who_asks_for_many_is_woken_once(loader: Loader[int, str], fetched: Fetched, clock: Clock) -> None:
    wakings = Wakings(loader.load_many(range(100)))

    async def waits() -> dict[int, str]:
        return await wakings

    found = Deferred.fromCoroutine(waits())
    clock.advance(0)
    fetched.answer({key: str(key) for key in range(50)})
    assert found.result == {key: str(key) for key in range(50)}
    assert list(found.result) == list(range(50))
    assert wakings.count == 1
