"""Blocking functions of a cursor, run on a few lean threads, each with one connection of its own.

Two doors: `read` for one statement (autocommit: one round trip), `run` for a transaction. A function may be run again
after a lost connection or a deadlock: nothing but its cursor may be touched inside.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from storage.prepared import PreparingConnection

P = ParamSpec("P")
T = TypeVar("T")
Query = Callable[Concatenate[Cursor, P], T]

# A transaction that lost a race is run again this often before its caller hears of it.
ATTEMPTS = 5
# While PostgreSQL restarts, statements wait for it this long.
RECONNECT_S = 30.0

RACES = (errors.SerializationFailure, errors.DeadlockDetected)


class DatabaseDown(Exception):
    """PostgreSQL did not answer for RECONNECT_S."""


# What is prepared reads by keys, and whichever they are the plan is the same: made anew for each list of them, as
# PostgreSQL does for fear of long ones, it costs more than to run it. Not an option of the connection's start: a pooler
# in between refuses those that it does not know.
_SETTINGS = "SET plan_cache_mode = force_generic_plan"


def connect(dsn: str) -> PreparingConnection:
    """An autocommit connection that notices a dead peer, and prepares the statements that run often."""
    connection = psycopg2.connect(
        dsn,
        connection_factory=PreparingConnection,
        connect_timeout=10,
        keepalives=1,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
    )
    connection.autocommit = True
    with connection.cursor() as cur:
        cur.execute(_SETTINGS)
    return connection


def reconnect(dsn: str, stopping: threading.Event) -> PreparingConnection:
    """A connection as soon as there is one. Blocks; only for threads. Raises: DatabaseDown."""
    pause_s, deadline = 0.05, time.monotonic() + RECONNECT_S
    while True:
        try:
            return connect(dsn)
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline or stopping.wait(pause_s):
                raise DatabaseDown(str(error).strip()) from error
            pause_s = min(1.0, pause_s * 2)


class _Job:
    __slots__ = ("args", "deferred", "function", "kwargs", "transaction")

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, transaction: bool) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.transaction = transaction
        self.deferred: Deferred[Any] = Deferred()


_Inbox = queue.SimpleQueue[_Job | None]


class Database:
    """A pool of `threads` connections to `dsn`. Threads start with the first use of `start`."""

    def __init__(self, dsn: str, *, reactor: IReactorFromThreads, threads: int = 4) -> None:
        self.dsn = dsn
        self._reactor = reactor
        self._waiting: deque[_Job] = deque()
        self._lock = threading.Lock()  # of who waits for whom: jobs for threads, or threads for jobs
        self._stopping = threading.Event()
        self._inboxes: list[_Inbox] = [queue.SimpleQueue() for _ in range(threads)]
        # The one that was at work last is the last: its connection has the statements' tables at hand, the first time
        # costs PostgreSQL milliseconds. So the others sleep until there is more to do at once.
        self._idle = list(self._inboxes)
        self._threads = [
            threading.Thread(target=self._work, args=(inbox,), name=f"database-{number}", daemon=True)
            for number, inbox in enumerate(self._inboxes)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets the running functions finish, then closes. Blocks for that long."""
        self._stopping.set()
        for inbox in self._inboxes:
            inbox.put(None)
        for thread in self._threads:
            thread.join(10)

    def run(self, function: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        """The function's value, from one transaction."""
        return self._submit(_Job(function, args, kwargs, transaction=True))

    def read(self, function: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        """The function's value, each of its statements on its own: for functions of one statement that only read."""
        return self._submit(_Job(function, args, kwargs, transaction=False))

    def _submit(self, job: _Job) -> "Deferred[Any]":
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
            if inbox is None:
                self._waiting.append(job)
        if inbox is not None:
            inbox.put(job)
        return job.deferred

    def _next_waiting(self, inbox: _Inbox) -> _Job | None:
        """What waits longest. None: nothing does, and what comes next comes to this inbox."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(inbox)
            return None

    def _work(self, inbox: _Inbox) -> None:
        connection: Connection | None = None
        job = inbox.get()
        answer: Callable[[Any], None]
        while job is not None:
            for attempt in range(ATTEMPTS):
                try:
                    if connection is None or connection.closed:
                        connection = reconnect(self.dsn, self._stopping)
                    answer, value = job.deferred.callback, _run(connection, job)
                except BaseException as error:  # noqa: BLE001  whatever it is, the waiting coroutine must hear of it
                    if attempt + 1 < ATTEMPTS and _may_run_again(error, connection):
                        continue
                    answer, value = job.deferred.errback, error
                break
            # Before the answer is heard: what is asked for next, upon it, is to find this thread idle.
            following = self._next_waiting(inbox)
            self._reactor.callFromThread(answer, value)
            job = following or inbox.get()
        if connection is not None:
            connection.close()


class CommitUnknown(Exception):
    """The connection was lost during a commit: the change may or may not be there."""


def _may_run_again(error: BaseException, connection: Connection | None) -> bool:
    return isinstance(error, RACES) or (connection is not None and is_lost(error, connection))


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Did the statement fail because there is no connection any more?"""
    # The class of the error does not say: libpq has more than one way of noticing. Whom PostgreSQL told why it ends,
    # after the crash of another session, libpq tells that writing failed, and does not look whether that was the end.
    if type(error) is psycopg2.DatabaseError and error.pgcode is None:
        connection.close()
    return isinstance(error, psycopg2.Error) and bool(connection.closed)


def _run(connection: Connection, job: _Job) -> Any:
    with connection.cursor() as cur:
        if not job.transaction:
            return job.function(cur, *job.args, **job.kwargs)
        cur.execute("BEGIN")
        try:
            value = job.function(cur, *job.args, **job.kwargs)
        except BaseException:
            if not connection.closed:
                cur.execute("ROLLBACK")
            raise
        _commit(connection, cur)
        return value


def _commit(connection: Connection, cur: Cursor) -> None:
    try:
        cur.execute("COMMIT")
    except psycopg2.Error as error:
        if is_lost(error, connection):
            raise CommitUnknown(str(error).strip()) from error
        raise
