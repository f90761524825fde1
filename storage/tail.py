"""Hears of other processes' commits (LISTEN) and reads them into the stream.

The notice carries a position only; what was committed is read from the database, so that a lost notice or a lost
connection costs a delay and nothing else.
"""

import logging

import psycopg2
from psycopg2.extensions import connection as Connection
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorFromThreads, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from storage.change import Entry, Kind
from storage.commit import CHANNEL
from storage.database import Database, connect
from storage.events import Events
from storage.stream import Stream, read_entries

logger = logging.getLogger(__name__)

RECONNECT_S = 1.0
# Even without a notice, look this often: a connection may be dead without our knowing.
LOOK_S = 15.0


class IReactorStorage(IReactorTime, IReactorFDSet, IReactorFromThreads):
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
        self._reading = False
        self._wanted = False
        self._timer: IDelayedCall | None = None

    def start(self, stream: Stream) -> None:
        """Listens from now on. Blocks for one connect; called while the server starts."""
        self._stream = stream
        self._connection = self._listen()
        self._reactor.addReader(self)
        self._timer = self._reactor.callLater(LOOK_S, self._look)
        self.catch_up()

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._close()
        self._stream = None

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
        fresh = [entry for entry in entries if entry.position > self._stream.position]
        for entry in fresh:
            if entry.kind is Kind.EVENT:
                entry.body = self._events.remember(entry.body)
        if fresh:
            self._stream.publish(fresh)
        if fresh or self._wanted:
            self.catch_up()

    def _have_failed(self, failure: Failure) -> None:
        self._reading = False
        logger.warning("Could not read the stream: %s", failure.getErrorMessage())
        if self._stream is not None:
            self._reactor.callLater(RECONNECT_S, self.catch_up)

    # IReadDescriptor

    def fileno(self) -> int:
        return -1 if self._connection is None or self._connection.closed else self._connection.fileno()

    def logPrefix(self) -> str:
        return "tail"

    def doRead(self) -> None:
        assert self._connection is not None
        try:
            self._connection.poll()
        except psycopg2.Error:
            self._close()
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
        self._close()

    def _listen(self) -> Connection:
        connection = connect(self._dsn)
        with connection.cursor() as cur:
            cur.execute(f"LISTEN {CHANNEL}")
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._reactor.removeReader(self)
            connection.close()

    def _look(self) -> None:
        """Every LOOK_S: is the connection alive? Listens anew if not, and catches up either way."""
        delay = LOOK_S
        if self._connection is None:
            try:
                self._connection = self._listen()
                self._reactor.addReader(self)
            except psycopg2.OperationalError:
                delay = RECONNECT_S
        if self._connection is not None and self._stream is not None:
            self.catch_up()
        self._timer = self._reactor.callLater(delay, self._look)
