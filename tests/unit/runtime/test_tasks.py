"""Background tasks: named, counted, logged, ended at stop."""

import logging

import pytest
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks


class World:
    def __init__(self) -> None:
        self.reactor, self.metrics = task.Clock(), Metrics()
        self.tasks = Tasks(clock=Clock(self.reactor), metrics=self.metrics)

    def stop(self, timeout_s: float = 10) -> Deferred[None]:
        return Deferred.fromCoroutine(self.tasks.stop(timeout_s))

    def count(self, name: str, label: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"hearth_background_{name}_total", {"task": label})


@pytest.fixture
def world() -> World:
    return World()


async def wait_for(deferred: Deferred[None]) -> None:
    await deferred


def test_a_task_starts_at_once_and_is_listed_while_it_runs(world: World) -> None:
    gate: Deferred[None] = Deferred()
    world.tasks.background("sender.wake", wait_for(gate))
    assert world.tasks.running() == ["sender.wake"]
    gate.callback(None)
    assert world.tasks.running() == []
    assert world.count("started", "sender.wake") == 1


def test_a_failing_task_is_logged_and_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gate: Deferred[None] = Deferred()
    world.tasks.background("breaks", wait_for(gate))
    gate.errback(KeyError("gone"))
    assert "Background task breaks failed" in caplog.text
    assert "KeyError" in caplog.text
    assert world.count("failed", "breaks") == 1


def test_stop_waits_for_a_task_that_has_an_end(world: World) -> None:
    gate: Deferred[None] = Deferred()
    world.tasks.background("finishes", wait_for(gate))
    stopping = world.stop()
    assert not stopping.called
    gate.callback(None)
    assert stopping.called
    assert world.reactor.getDelayedCalls() == []


def test_stop_waits_for_a_task_that_a_last_task_starts(world: World) -> None:
    first, second = Deferred[None](), Deferred[None]()

    async def start_another() -> None:
        await first
        world.tasks.background("another", wait_for(second))

    world.tasks.background("one", start_another())
    stopping = world.stop()
    first.callback(None)
    assert not stopping.called
    second.callback(None)
    assert stopping.called


def test_stop_cancels_what_takes_too_long(world: World, caplog: pytest.LogCaptureFixture) -> None:
    cancelled: list[object] = []
    gate: Deferred[None] = Deferred(cancelled.append)
    world.tasks.background("hangs", wait_for(gate))
    stopping = world.stop(timeout_s=3)
    world.reactor.advance(3)
    assert stopping.called
    assert cancelled == [gate]
    assert "cancelled: hangs" in caplog.text


def test_stop_gives_up_on_what_refuses_to_be_cancelled(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn() -> None:
        while True:
            try:
                await Deferred()
            except CancelledError:
                continue

    world.tasks.background("stubborn", stubborn())
    stopping = world.stop(timeout_s=3)
    world.reactor.pump([3, 1])
    assert stopping.called
    assert "Left running: stubborn" in caplog.text


def test_stop_cancels_an_endless_task_at_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world.tasks.background("reader", wait_for(Deferred()), endless=True)
    assert world.stop().called
    assert caplog.text == ""


def test_nothing_starts_after_stop(world: World) -> None:
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    world.stop()
    world.tasks.background("late", begin())
    assert begun == []


def test_a_repeated_function_is_called_at_every_interval(world: World) -> None:
    calls: list[float] = []

    async def note() -> None:
        calls.append(world.reactor.seconds())

    world.tasks.repeat("trim", 10, note)
    world.reactor.pump([9, 1, 10, 10])
    assert calls == [10, 20, 30]


def test_a_repeated_function_never_runs_twice_at_a_time(world: World) -> None:
    gates: list[Deferred[None]] = []

    async def slow() -> None:
        gates.append(Deferred())
        await gates[-1]

    world.tasks.repeat("slow", 10, slow)
    world.reactor.pump([10, 10, 10])
    assert len(gates) == 1
    gates[0].callback(None)
    world.reactor.advance(10)
    assert len(gates) == 2


def test_a_periodic_job_does_not_die_of_one_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    async def fail() -> None:
        calls.append(1)
        raise ValueError("once more")

    world.tasks.repeat("fails", 10, fail)
    world.reactor.pump([10, 10])
    assert len(calls) == 2
    assert world.count("failed", "fails") == 2


def test_stop_does_not_wait_for_the_next_interval(world: World) -> None:
    async def nothing() -> None: ...

    world.tasks.repeat("hourly", 3600, nothing)
    assert world.stop().called
    assert world.reactor.getDelayedCalls() == []


def test_stop_does_not_wait_for_who_naps(world: World) -> None:
    gate: Deferred[None] = Deferred()

    async def naps_again() -> None:
        await gate
        await world.tasks.nap(3600)

    world.tasks.background("naps", world.tasks.nap(3600))
    world.tasks.background("naps", naps_again())
    stopping = world.stop()
    assert world.tasks.running() == ["naps"]
    gate.callback(None)
    assert stopping.called
    assert world.count("failed", "naps") is None


def test_stop_lets_a_repeated_call_finish(world: World) -> None:
    gate: Deferred[None] = Deferred()

    async def slow() -> None:
        await gate

    world.tasks.repeat("slow", 10, slow)
    world.reactor.advance(10)
    stopping = world.stop()
    assert not stopping.called
    gate.callback(None)
    assert stopping.called
