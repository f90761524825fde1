"""Coroutines from a command: run the reactor until one is done."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


class Reactor(IReactorCore, IReactorTime, IReactorFromThreads):
    """What the commands use of a reactor; they pass it on whole."""


class TheReactor(Protocol):
    """Gives the reactor of the process, chosen by the first who asks.

    Commands that need none never import one, which keeps `hearth version` quick. `for_asyncio`: one that runs asyncio's
    loop too, which the bridges' libraries need; slower than the ordinary one.
    """

    def __call__(self, *, for_asyncio: bool = False) -> Reactor: ...


def run(reactor: Reactor, coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's value, or what it raises. The reactor cannot be run again afterwards."""
    outcome: list[T | Failure] = []

    def finish(result: T | Failure) -> None:
        outcome.append(result)
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(coroutine).addBoth(finish))
    # Signals are the command's own: see serve.
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]  # missing in the interface only
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
