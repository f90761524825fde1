"""Between Twisted's coroutines and asyncio's.

A coroutine of Twisted's awaits Deferreds, one of asyncio's awaits futures; neither can await the other's.

    members = await crossing.from_asyncio(client.conversations_members(channel=channel))  # in a coroutine of Twisted's
    await crossing.to_asyncio(bridge.accept([delivery]))  # in one of asyncio's

The loop may run in the reactor's own thread (asyncioreactor, as in `hearth bridge`) or in another one (tests, which
run on the ordinary reactor).
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.runtime.clock import as_deferred

T = TypeVar("T")


class Crossing:
    """Between one loop and one reactor. Make it in the reactor's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: IReactorFromThreads, *, is_same_thread: bool) -> None:
        self._loop = loop
        self._reactor = reactor
        self._is_same_thread = is_same_thread

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def from_asyncio(self, coroutine: Coroutine[Any, Any, T]) -> "Deferred[T]":
        """Runs a coroutine of asyncio's; cancelling the Deferred cancels it."""
        if self._is_same_thread:
            return Deferred.fromFuture(self._loop.create_task(coroutine))
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)

        def cancel(_: Deferred[T]) -> None:
            future.cancel()

        waiting: Deferred[T] = Deferred(cancel)
        future.add_done_callback(lambda done: self._reactor.callFromThread(_hand_over, done, waiting))
        return waiting

    def to_asyncio(self, coroutine: "Coroutine[Any, Any, T] | Deferred[T]") -> "asyncio.Future[T]":
        """Runs a coroutine of Twisted's, for one of asyncio's to await. Call it in the loop's thread."""
        if self._is_same_thread:
            return as_deferred(coroutine).asFuture(self._loop)
        future: Future[T] = Future()
        self._reactor.callFromThread(_run, coroutine, future)
        return asyncio.wrap_future(future, loop=self._loop)

    def in_reactor(self, function: Callable[..., object], *args: object) -> None:
        """Calls a function of core's from the loop's thread (`Bridge.typing`, say); it comes to its turn soon."""
        if self._is_same_thread:
            function(*args)
        else:
            self._reactor.callFromThread(function, *args)

    def in_loop(self, function: Callable[..., object], *args: object) -> None:
        """Calls a function in the loop's thread."""
        self._loop.call_soon_threadsafe(function, *args)


@implementer(IReactorFromThreads)
class LoopFromThreads:
    """What threads call in the thread of an asyncioreactor, by its loop: the reactor itself makes a timer for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        self._loop.call_soon_threadsafe(partial(callable, *args, **kwargs))


class LoopThread:
    """A loop in a thread of its own. `stop` ends what runs in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asyncio", daemon=True)

    def start(self) -> asyncio.AbstractEventLoop:
        self._thread.start()
        return self.loop

    def stop(self) -> None:
        """Blocks until it has ended."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


def _hand_over(done: "Future[T]", waiting: "Deferred[T]") -> None:
    if waiting.called:
        return
    if done.cancelled():
        waiting.cancel()
        return
    error = done.exception()
    if error is None:
        waiting.callback(done.result())
    else:
        waiting.errback(error)


def _run(coroutine: "Coroutine[Any, Any, T] | Deferred[T]", future: "Future[T]") -> None:
    """In the reactor's thread."""

    def end(result: T | Failure) -> None:
        if future.cancelled():
            return
        if isinstance(result, Failure):
            future.set_exception(result.value)
        else:
            future.set_result(result)

    as_deferred(coroutine).addBoth(end)
