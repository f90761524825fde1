"""Hears of other processes' commits (LISTEN) and reads them into the stream.

The notice carries a position only; what was committed is read from the database, so that a lost notice or a lost
connection costs a delay and nothing else.

Who commits tells only if somebody else listens: each connection that does has a row in `listeners`, written with the
lock of `stream_head` in hand, so that whatever is committed after it knows of it, and whatever came before is found by
the look that follows. Rows of connections that are gone do no harm but for a notice in vain.
"""

import logging
import os
import threading

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTime,
    IReadDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from storage.change import Entry, Kind
from storage.commit import CHANNEL
from storage.database import Database, connect
from storage.events import Events
from storage.stream import Stream, TooFarBehind, read_entries

logger = logging.getLogger(__name__)

_FORGET_GONE = "DELETE FROM listeners l WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid)"
_REGISTER = (
    f"BEGIN; SELECT position FROM stream_head FOR UPDATE; {_FORGET_GONE};"
    " INSERT INTO listeners (pid, instance) VALUES (pg_backend_pid(), %s)"
    " ON CONFLICT (pid) DO UPDATE SET instance = excluded.instance; COMMIT"
)
RECONNECT_S = 1.0
# Even without a notice, look this often: a connection may be dead without our knowing.
LOOK_S = 15.0


class IReactorStorage(IReactorCore, IReactorTime, IReactorFDSet, IReactorFromThreads):
    """What storage needs of a reactor."""


@implementer(IReadDescriptor)
class Tail:
    """One connection that listens, in the reactor; reads happen on the database's threads, one at a time."""

    def __init__(
        self, dsn: str, *, database: Database, reactor: IReactorStorage, events: Events, instance: str
    ) -> None:
        self._dsn = dsn
        self._database = database
        self._reactor = reactor
        self._events = events
        self._instance = instance
        self._stream: Stream | None = None
        self._connection: Connection | None = None
        self._fd = -1
        self._connecting = False
        self._reading = False
        self._wanted = False
        self._look_timer: IDelayedCall | None = None
        self._retry_timer: IDelayedCall | None = None

    def start(self, stream: Stream) -> None:
        """Listens from now on. Blocks for one connect; called while the server starts."""
        self._stream = stream
        self._have_connected(_listen(self._dsn, self._instance))
        self._look_timer = self._reactor.callLater(LOOK_S, self._look)

    def stop(self) -> None:
        self._stream = None
        for timer in (self._look_timer, self._retry_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._close()

    def catch_up(self) -> None:
        """Reads what the stream does not have yet. Called while reading, it reads once more afterwards."""
        if self._stream is None or self._reading:
            self._wanted = True
            return
        self._reading, self._wanted = True, False
        self._database.run(read_entries, self._stream.position).addCallbacks(self._have_read, self._have_failed)

    def _have_read(self, entries: list[Entry]) -> None:
        self._reading = False
        if self._stream is None:
            return
        fresh = [self._ours(entry) for entry in entries if entry.position > self._stream.position]
        if fresh:
            self._stream.publish(fresh)
        if fresh or self._wanted:
            self.catch_up()

    def _ours(self, entry: Entry) -> Entry:
        """The entry with this process's own object for its event; of an event that we sent, our own entry."""
        if entry.kind is not Kind.EVENT:
            return entry
        stored = entry.body = self._events.remember(entry.body)
        return stored.entry or entry

    def _have_failed(self, failure: Failure) -> None:
        self._reading = False
        if self._stream is None:
            return
        if isinstance(failure.value, TooFarBehind):
            # What was missed may be in any cache.
            logger.critical("Cannot follow the other processes any more, so this one ends: %s", failure.value)
            self._reactor.stop()
            return
        logger.warning("Could not read the stream: %s", failure.getErrorMessage())
        self._retry()

    # IReadDescriptor

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "tail"

    def doRead(self) -> None:
        assert self._connection is not None
        try:
            self._connection.poll()
        except psycopg2.Error:
            self._lost()
            return
        upto = 0
        for notice in self._connection.notifies:
            position, _, instance = notice.payload.partition(" ")
            if instance != self._instance:
                upto = max(upto, int(position))
        self._connection.notifies.clear()
        if self._stream is not None and upto > self._stream.position:
            self.catch_up()

    def connectionLost(self, reason: Failure) -> None:
        self._lost()

    def _lost(self) -> None:
        self._close()
        if self._stream is not None:
            self._connect()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._reactor.removeReader(self)
            connection.close()
            os.close(self._fd)
            self._fd = -1

    def _connect(self) -> None:
        """Connecting may take long, so it has a thread of its own."""
        if not self._connecting and self._connection is None:
            self._connecting = True
            threading.Thread(target=self._connect_on_thread, name="tail", daemon=True).start()

    def _connect_on_thread(self) -> None:
        try:
            connection = _listen(self._dsn, self._instance)
        except psycopg2.Error:
            self._reactor.callFromThread(self._have_not_connected)
        else:
            self._reactor.callFromThread(self._have_connected, connection)

    def _have_connected(self, connection: Connection) -> None:
        self._connecting = False
        if self._stream is None:
            connection.close()
            return
        self._connection = connection
        # One of our own for the same socket: libpq closes its descriptor as soon as it sees the end of the connection,
        # and the number may be another socket's before the reactor has let go of it.
        self._fd = os.dup(connection.fileno())
        self._reactor.addReader(self)
        # What was committed while nobody listened.
        self.catch_up()

    def _have_not_connected(self) -> None:
        self._connecting = False
        if self._stream is not None:
            self._retry()

    def _retry(self) -> None:
        if self._retry_timer is None or not self._retry_timer.active():
            self._retry_timer = self._reactor.callLater(RECONNECT_S, self._again)

    def _again(self) -> None:
        if self._connection is None:
            self._connect()
        self.catch_up()

    def _look(self) -> None:
        """Every LOOK_S: catches up, whether or not a notice came."""
        self._look_timer = self._reactor.callLater(LOOK_S, self._look)
        self._again()


def trim_listeners(cur: Cursor) -> int:
    """Deletes the rows of connections that are gone, so that nobody is told for their sake."""
    cur.execute(_FORGET_GONE)
    return cur.rowcount


def _listen(dsn: str, instance: str) -> Connection:
    connection = connect(dsn)
    with connection.cursor() as cur:
        cur.execute(_REGISTER, (instance,))
        cur.execute(f"LISTEN {CHANNEL}")
    return connection
