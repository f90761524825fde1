"""Look-ups by key gathered into one query: everything that is asked for within one turn of the reactor.

Never a query in a loop: a hundred coroutines that each want one event cost one statement.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from storage.database import Database

K = TypeVar("K")
V = TypeVar("V")

# One `= ANY(...)` of this many keys; more are asked for in turn by another thread.
MAX_KEYS = 1000


class Loader(Generic[K, V]):
    """`fetch(cur, keys)` gives what it finds of the keys, in one statement."""

    def __init__(
        self, fetch: Callable[[Cursor, list[K]], dict[K, V]], *, database: Database, reactor: IReactorTime
    ) -> None:
        self._fetch = fetch
        self._database = database
        self._reactor = reactor
        self._waiting: dict[K, list[Deferred[V | None]]] = {}
        self._scheduled = False

    def load(self, key: K) -> "Deferred[V | None]":
        deferred: Deferred[V | None] = Deferred()
        self._waiting.setdefault(key, []).append(deferred)
        if not self._scheduled:
            self._scheduled = True
            self._reactor.callLater(0, self._go)
        return deferred

    async def load_many(self, keys: Iterable[K]) -> dict[K, V]:
        """What was found, by key."""
        asked = {key: self.load(key) for key in keys}
        # The answers come in this order, and who waits for the last of them is woken once, not by each.
        found = [(key, await deferred) for key, deferred in reversed(asked.items())]
        return {key: value for key, value in reversed(found) if value is not None}

    def _go(self) -> None:
        self._scheduled = False
        waiting, self._waiting = self._waiting, {}
        keys = list(waiting)
        for start in range(0, len(keys), MAX_KEYS):
            part = {key: waiting[key] for key in keys[start : start + MAX_KEYS]}
            query = self._database.read(self._fetch, list(part))
            query.addCallbacks(_answer, _fail, callbackArgs=(part,), errbackArgs=(part,))


def _answer(found: dict[K, V], part: "dict[K, list[Deferred[V | None]]]") -> None:
    for key, deferreds in part.items():
        for deferred in deferreds:
            if not deferred.called:
                deferred.callback(found.get(key))


def _fail(failure: Failure, part: "dict[K, list[Deferred[V | None]]]") -> None:
    for deferreds in part.values():
        for deferred in deferreds:
            if not deferred.called:
                deferred.errback(failure)
