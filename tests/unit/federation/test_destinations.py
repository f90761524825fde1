"""Servers that do not answer: how long they are left alone, and what it costs."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock as Reactor

from federation.outbound.destinations import BackOff, Destinations, quick_pauses
from federation.outbound.errors import Unreachable
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from matrix.ids import ServerName
from storage.change import Change
from storage.destinations import Failing

GONE = ServerName("gone.test")
QUICK, MINUTE, HOUR = 4_000, 60_000, 3_600_000


class Store:
    """The table, without a database. `writes` counts statements."""

    def __init__(self) -> None:
        self.rows: dict[str, Failing] = {}
        self.writes = 0

    def read(self, _: Any, limit: int) -> "Deferred[dict[str, Failing]]":
        return succeed(dict(self.rows))

    def run(self, _: Any, failing: Any, answering: Any) -> "Deferred[None]":
        self.writes += 1
        self.rows.update(failing)
        for name in answering:
            self.rows.pop(name, None)
        return succeed(None)


class World:
    def __init__(self, store: Store | None = None, first_ms: int = MINUTE) -> None:
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        self.store = store or Store()
        self.told: list[Change] = []
        clock, metrics = Clock(self.reactor), Metrics()

        async def commit(change: Change) -> None:
            self.told.append(change)
            self.destinations.read_stream(change.entries)

        self.destinations = Destinations(
            database=self.store,  # type: ignore[arg-type]
            commit=commit,  # type: ignore[arg-type]
            clock=clock,
            tasks=Tasks(clock=clock, metrics=metrics),
            metrics=metrics,
            back_off=BackOff(first_ms=first_ms, factor=2.0, longest_ms=HOUR),
            chance=lambda: 0.0,
        )

    @property
    def now_ms(self) -> int:
        return int(self.reactor.seconds() * 1000)

    def fail(self, name: ServerName = GONE) -> None:
        self.destinations.failed(name, self.now_ms)

    def pause_ms(self, name: ServerName = GONE) -> int:
        at_ms = self.destinations.retry_at_ms(name)
        return 0 if at_ms is None else at_ms - self.now_ms

    def pauses(self, count: int) -> list[float]:
        """In seconds: those after so many failures."""
        pauses = []
        for _ in range(count):
            self.fail()
            pauses.append(self.pause_ms() / 1000)
            self.reactor.advance(self.pause_ms() / 1000)
            assert self.pause_ms() == 0
        return pauses


def test_each_failure_doubles_the_pause_up_to_an_hour() -> None:
    assert World().pauses(9)[2:] == [60, 120, 240, 480, 960, 1920, 3600]


def test_a_server_that_is_restarted_is_asked_again_soon() -> None:
    assert World().pauses(3) == [4, 16, 60]
    assert World(first_ms=1000).pauses(3) == [1, 2, 4], "whoever wants it shorter"


def test_the_operator_says_how_often_a_server_is_tried_before_it_counts_as_gone() -> None:
    assert quick_pauses(0, 60_000) == ()
    assert quick_pauses(5, 20_000) == (4_000, 16_000, 20_000)
    assert len(quick_pauses(10**9, 10**9)) == 10
    minutes = BackOff(quick_ms=quick_pauses(3, 60_000), first_ms=600_000)
    pauses = [0]
    for _ in range(5):
        pauses.append(minutes.after(pauses[-1]))
    assert pauses[1:] == [4_000, 16_000, 60_000, 600_000, 1_200_000]
    assert BackOff(quick_ms=()).after(0) == 60_000


def test_jitter_only_shortens_the_pause() -> None:
    world = World()
    world.destinations._chance = lambda: 1.0
    pauses = world.pauses(14)
    assert pauses[0] == 3.2
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.8 * HOUR / 1000


def test_nobody_is_asked_during_the_pause() -> None:
    world = World()
    world.destinations.check(GONE)
    world.fail()
    with pytest.raises(Unreachable, match="4 s"):
        world.destinations.check(GONE)
    world.reactor.advance(4)
    world.destinations.check(GONE)


def test_requests_that_fail_together_count_once() -> None:
    world = World()
    asked_at_ms = world.now_ms
    world.reactor.advance(10)
    for _ in range(50):
        world.destinations.failed(GONE, asked_at_ms)
    assert world.pause_ms() == QUICK


def test_an_answer_ends_it() -> None:
    world, up = World(), []
    world.destinations.on_up(up.append)
    world.fail()
    world.destinations.heard_from(GONE)
    assert (world.pause_ms(), up) == (0, [GONE])
    world.fail()
    assert world.pause_ms() == QUICK


def test_news_that_come_late_do_not_undo_what_was_since() -> None:
    world, held = World(), []
    world.fail()
    world.destinations._commit = _holding(held)  # type: ignore[assignment]
    world.destinations.answered(GONE)
    world.reactor.advance(1)
    world.fail()
    world.destinations.read_stream(held)
    assert world.pause_ms() == QUICK


def _holding(held: list[Any]) -> Any:
    """A commit that is not told yet."""

    async def commit(change: Change) -> None:
        held.extend(change.entries)

    return commit


def test_an_answer_of_a_server_that_is_well_costs_nothing() -> None:
    world = World()
    world.destinations.answered(GONE)
    world.reactor.advance(10)
    assert (world.told, world.store.writes) == ([], 0)


def test_who_asks_for_patience_gets_it_up_to_an_hour() -> None:
    world = World()
    world.destinations.asked_to_wait(GONE, 5000)
    assert world.pause_ms() == 5000
    world.destinations.asked_to_wait(GONE, 1000)
    assert world.pause_ms() == 5000
    world.destinations.asked_to_wait(GONE, 10**11)
    assert world.pause_ms() == HOUR


async def test_it_outlives_a_restart() -> None:
    world = World()
    world.fail()
    world.reactor.advance(1)
    after = World(world.store)
    await after.destinations.load()
    assert after.pause_ms() == QUICK
    after.destinations.answered(GONE)
    after.reactor.advance(1)
    assert after.store.rows == {}


def test_a_thousand_dead_servers_are_one_write() -> None:
    world = World()
    for number in range(1000):
        world.fail(ServerName(f"gone{number}.test"))
    world.reactor.advance(1)
    assert (world.store.writes, len(world.store.rows)) == (1, 1000)
