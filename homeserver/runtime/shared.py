"""Work that several ask for at the same time, and that is done once for all of them."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.runtime.tasks import Tasks

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """For each key one coroutine at a time, in the background. Who no longer waits for it does not end it.

    `name` is that of the background tasks. An error is given to all who wait; if nobody does, nobody hears of it.
    """

    def __init__(self, name: str, tasks: Tasks) -> None:
        self._name = name
        self._tasks = tasks
        self._waiting: dict[K, list[Deferred[V]]] = {}

    def __contains__(self, key: object) -> bool:
        """Is it being done?"""
        return key in self._waiting

    def start(self, key: K, work: Callable[[], Awaitable[V]]) -> None:
        """Begins, unless it is being done, and waits for nothing."""
        if key not in self._waiting:
            self._begin(key, work, [])

    def get(self, key: K, work: Callable[[], Awaitable[V]]) -> "Deferred[V]":
        """What comes of the work that is being done, or begins now. Raises what it raises."""
        waiting: Deferred[V] = Deferred(lambda gone: self._forget(key, gone))
        if key in self._waiting:
            self._waiting[key].append(waiting)
        else:
            self._begin(key, work, [waiting])
        return waiting

    def _begin(self, key: K, work: Callable[[], Awaitable[V]], waiting: "list[Deferred[V]]") -> None:
        # It may well be done before `background` comes back.
        self._waiting[key] = waiting
        self._tasks.background(self._name, self._run(key, work))

    async def _run(self, key: K, work: Callable[[], Awaitable[V]]) -> None:
        try:
            value = await work()
        except BaseException:  # noqa: BLE001  those who wait must hear of it, whatever it is
            failure = Failure()  # type: ignore[no-untyped-call]
            for waiting in self._waiting.pop(key):
                waiting.errback(failure)
            return
        for waiting in self._waiting.pop(key):
            waiting.callback(value)

    def _forget(self, key: K, gone: "Deferred[V]") -> None:
        if gone in self._waiting.get(key, ()):
            self._waiting[key].remove(gone)
