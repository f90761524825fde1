"""The bridge's tables, as its parts use them: functions of storage/ with the bridge's id filled in."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred

from storage.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """`bridge` is the id of the registration."""

    def __init__(self, database: Database, bridge: str) -> None:
        self._database = database
        self.bridge = bridge

    def run(self, function: Callable[Concatenate[Cursor, str, P], T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """In a transaction."""
        return self._database.run(function, self.bridge, *args, **kwargs)

    def read(
        self, function: Callable[Concatenate[Cursor, str, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """For functions of one statement."""
        return self._database.read(function, self.bridge, *args, **kwargs)

    def write(self, *writes: "Write") -> Deferred[None]:
        """All of them, or nothing."""
        return self._database.run(_all, self.bridge, writes)


# What `prepared` gives.
Write = Callable[[Cursor, str], Any]


def prepared(function: Callable[Concatenate[Cursor, str, P], Any], *args: P.args, **kwargs: P.kwargs) -> Write:
    """One of several writes of a transaction: see Store.write."""

    def write(cur: Cursor, bridge: str) -> None:
        function(cur, bridge, *args, **kwargs)

    return write


def _all(cur: Cursor, bridge: str, writes: tuple[Write, ...]) -> None:
    for write in writes:
        write(cur, bridge)
