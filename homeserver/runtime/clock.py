"""Time as an argument: what a part may ask of the clock, so that a test can move it by hand."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

T = TypeVar("T")


class Clock:
    """Wall time, monotonic time and waiting, all from one reactor.

    Tests pass `twisted.internet.task.Clock()`. The server passes its reactor and `monotonic=time.monotonic`, because
    the reactor's own seconds are wall time and jump with it.
    """

    def __init__(self, reactor: IReactorTime, *, monotonic: Callable[[], float] | None = None) -> None:
        self._reactor = reactor
        self._wall: Callable[[], float] = reactor.seconds
        self._monotonic = monotonic or self._wall

    def now_ms(self) -> int:
        """Milliseconds since 1970: what `origin_server_ts` and every `_ts` of the spec hold."""
        return int(self._wall() * 1000)

    def seconds(self) -> float:
        """A time that never goes back: for ages and rates, never to be stored or shown."""
        return self._monotonic()

    async def sleep(self, seconds: float) -> None:
        """Comes back after so many seconds. Cancelling the awaiting coroutine ends the timer too."""
        await deferLater(self._reactor, seconds)

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Calls `function(*args)` once, unless the returned call is cancelled first."""
        return self._reactor.callLater(seconds, function, *args)

    async def timeout(self, awaitable: Awaitable[T], seconds: float) -> T:
        """The result of `awaitable`, which is cancelled after so many seconds.

        Raises: TimeoutError (the builtin one) if it had not finished by then.
        """
        return await as_deferred(awaitable).addTimeout(seconds, self._reactor, _timed_out)


def as_deferred(awaitable: Awaitable[T]) -> "Deferred[T]":
    """The Deferred itself, or one that runs the coroutine (which starts at once)."""
    if isinstance(awaitable, Deferred):
        return awaitable
    if not isinstance(awaitable, Coroutine):
        awaitable = _awaited(awaitable)
    return Deferred.fromCoroutine(awaitable)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _timed_out(result: Any, seconds: float) -> Any:
    # What finished with a value or an error of its own while being cancelled keeps it.
    if isinstance(result, Failure) and isinstance(result.value, CancelledError):
        raise TimeoutError(f"not finished within {seconds:g} s")
    return result
