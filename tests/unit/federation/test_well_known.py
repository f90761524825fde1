"""/.well-known/matrix/server: what counts, and for how long. Source: server-server API, "Resolving server names"."""

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock as Reactor

from federation.outbound.well_known import BOUNDS, LEAST_S, LONGEST_FAILURE_S, MOST_S, USUAL_S, WellKnown
from homeserver.runtime.clock import Clock
from homeserver.web.agent import Bounds, Fetched, FetchFailed

GOOD = Fetched(200, {}, b'{"m.server": "d.test:443"}', "https://hs.test/.well-known/matrix/server")


class World:
    """A host whose answer a test sets; None is no answer."""

    def __init__(self, answer: Fetched | None = GOOD) -> None:
        self.answer = answer
        self.count = 0
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        self._well_known = WellKnown(get=self._get, clock=Clock(self.reactor), chance=lambda: 0.0)

    async def ask(self) -> str | None:
        return await self._well_known.delegated("hs.test")

    async def lives_s(self) -> int:
        """After how many seconds the host is asked again, to the next minute."""
        await self.ask()
        before, start = self.count, self.reactor.seconds()
        while self.count == before:
            self.reactor.advance(60)
            await self.ask()
        return int(self.reactor.seconds() - start)

    async def _get(self, url: str, *, bounds: Bounds) -> Fetched:
        assert bounds == BOUNDS
        self.count += 1
        if self.answer is None:
            raise FetchFailed("no answer")
        return self.answer


async def test_the_delegated_name_is_given() -> None:
    world = World()
    assert await world.ask() == "d.test:443"
    assert await world.ask() == "d.test:443"
    assert world.count == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, USUAL_S),
        ({"cache-control": "public, max-age=3600"}, 3600),
        ({"cache-control": 'max-age="7200"'}, 7200),
        ({"cache-control": "max-age=99999999"}, MOST_S),
        ({"cache-control": "max-age=1"}, LEAST_S),
        ({"cache-control": "no-store"}, LEAST_S),
        ({"cache-control": "no-cache, max-age=3600"}, LEAST_S),
        ({"cache-control": "s-maxage=600"}, USUAL_S),
        ({"expires": "Tue, 14 Nov 2023 23:13:20 GMT"}, 3600),
        ({"expires": "0"}, LEAST_S),
        ({"expires": "Tue, 14 Nov 9999 23:13:20 GMT"}, MOST_S),
        ({"cache-control": "max-age=3600", "expires": "0"}, 3600),
    ],
)
async def test_how_long_an_answer_counts(headers: dict[str, str], seconds: float) -> None:
    assert await World(evolve(GOOD, headers=headers)).lives_s() == seconds


@pytest.mark.parametrize(
    "answer",
    [
        evolve(GOOD, status=404),
        evolve(GOOD, status=301),
        evolve(GOOD, body=b"<html>"),
        evolve(GOOD, body=b"[]"),
        evolve(GOOD, body=b"{}"),
        evolve(GOOD, body=b'{"m.server": 1}'),
        evolve(GOOD, body=b'{"m.server": "a/b"}'),
        evolve(GOOD, body=b'{"m.server": "https://d.test"}'),
        evolve(GOOD, body=b'{"m.server": ""}'),
        evolve(GOOD, body=b"[" * 5000),
    ],
)
async def test_a_decided_no_counts_for_an_hour(answer: Fetched) -> None:
    world = World(answer)
    assert await world.ask() is None
    assert await world.lives_s() == LONGEST_FAILURE_S


async def test_a_failure_counts_longer_each_time() -> None:
    world = World(None)
    assert [await world.lives_s() for _ in range(6)] == [300, 600, 1200, 2400, 3600, 3600]


async def test_what_was_true_yesterday_stands_in_for_a_failure() -> None:
    world = World(evolve(GOOD, headers={"cache-control": "max-age=3600"}))
    await world.ask()
    world.answer = None
    world.reactor.advance(7200)
    assert await world.ask() == "d.test:443"
    world.reactor.advance(MOST_S)
    assert await world.ask() is None


async def test_a_delegation_that_was_taken_back_is_gone() -> None:
    world = World(evolve(GOOD, headers={"cache-control": "max-age=3600"}))
    await world.ask()
    world.answer = evolve(GOOD, status=404)
    world.reactor.advance(7200)
    assert await world.ask() is None


async def test_a_host_is_asked_once_at_a_time() -> None:
    release: Deferred[None] = Deferred()
    count = 0

    async def get(url: str, *, bounds: Bounds) -> Fetched:
        nonlocal count
        count += 1
        await release
        return GOOD

    well_known = WellKnown(get=get, clock=Clock(Reactor()))
    asking = [Deferred.fromCoroutine(well_known.delegated("hs.test")) for _ in range(5)]
    release.callback(None)
    assert [await each for each in asking] == ["d.test:443"] * 5
    assert count == 1


async def test_a_question_goes_on_when_who_asked_has_no_more_time() -> None:
    release: Deferred[None] = Deferred()

    async def get(url: str, *, bounds: Bounds) -> Fetched:
        await release
        return GOOD

    well_known = WellKnown(get=get, clock=Clock(Reactor()))
    asking = Deferred.fromCoroutine(well_known.delegated("hs.test"))
    asking.cancel()
    with pytest.raises(CancelledError):
        await asking
    release.callback(None)
    assert await well_known.delegated("hs.test") == "d.test:443"
