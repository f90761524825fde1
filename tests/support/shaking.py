"""Delays drawn at random wherever the order of things is not promised: a plugin of pytest, for who looks for flakes.

A busy machine lets a thread, a timer or another server's answer come later than the author of a test thought. Here
every tenth of them does, so that one run finds what a hundred on a quiet machine may not:

    scripts/test -p tests.support.shaking -n 2 --dist loadfile tests/integration

What fails here and not without it depends on who is faster, the test or what it tests. What measures time may fail.
"""

import asyncio.base_events
import functools
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import base, reactor, tcp
from twisted.internet.task import deferLater
from twisted.python.threadpool import ThreadPool

from homeserver.runtime.tasks import Tasks
from storage import database
from storage.commit import Committer
from tests.support.federation import Network

ODDS = float(os.environ.get("HEARTH_SHAKING_ODDS", "0.1"))
MEAN_S = 0.03
# One of so many is so many times as long.
LONG = 10
MOST_S = 2.0
# To a slow test it seems that what is done every minute is done at every moment.
HURRY = 50
# One of its own: hypothesis looks after the common one.
_CHANCE = random.Random()
# The loop of the bridges turns for each callback: less often, or nothing would get on.
LOOP_ODDS = ODDS / 10


def _delay_s(odds: float = ODDS) -> float:
    if _CHANCE.random() >= odds:
        return 0.0
    mean_s = MEAN_S * (LONG if _CHANCE.randrange(LONG) == 0 else 1)
    return min(MOST_S, _CHANCE.expovariate(1 / mean_s))


def _late(function: Callable[..., Any], odds: float = ODDS) -> Callable[..., Any]:
    """The same, on a thread that was asleep before and is afterwards."""

    @functools.wraps(function)
    def shaken(*args: Any, **kwargs: Any) -> Any:
        time.sleep(_delay_s(odds))
        try:
            return function(*args, **kwargs)
        finally:
            time.sleep(_delay_s(odds))

    return shaken


def _shake_timers() -> None:
    call_later = base.ReactorBase.callLater

    def shaken(self: Any, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call_later(self, delay + _delay_s(), function, *args, **kwargs)

    base.ReactorBase.callLater = shaken


def _hurry_upkeep() -> None:
    repeat = Tasks.repeat

    def shaken(self: Tasks, name: str, every_s: float, function: Callable[[], Awaitable[object]]) -> None:
        repeat(self, name, every_s / HURRY, function)

    Tasks.repeat = shaken


def _shake_sockets() -> None:
    do_read = tcp.Connection.doRead

    def read_later(self: Any) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()

    def shaken(self: Any) -> Any:
        delay_s = _delay_s()
        if not delay_s:
            return do_read(self)
        self.stopReading()
        self.reactor.callLater(delay_s, read_later, self)
        return None

    tcp.Connection.doRead = shaken


def _shake_threads() -> None:
    call_in_thread = ThreadPool.callInThreadWithCallback

    def shaken(self: Any, on_result: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        call_in_thread(self, on_result, _late(function), *args, **kwargs)

    ThreadPool.callInThreadWithCallback = shaken
    database._run = _late(database._run)
    Committer._commit = _late(Committer._commit)
    asyncio.base_events.BaseEventLoop._run_once = _late(asyncio.base_events.BaseEventLoop._run_once, LOOP_ODDS)


def _shake_network() -> None:
    deliver = Network._deliver

    async def shaken(self: Network, sent: Any) -> Any:
        if delay_s := _delay_s():
            await deferLater(reactor, delay_s)
        return await deliver(self, sent)

    Network._deliver = shaken


def pytest_configure() -> None:
    _shake_threads()
    _shake_timers()
    _hurry_upkeep()
    _shake_sockets()
    _shake_network()
