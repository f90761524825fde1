"""Single pieces of work that only one process may do at a time, named by a number: claimed by an advisory lock.

The locks belong to one connection, which is there as long as anything is claimed. PostgreSQL frees them when it ends,
however the process ended. For work that is always there see shard_locks.py.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg2.extensions import cursor as Cursor
from twisted.internet.interfaces import IReactorFromThreads

from storage.database import Database

# The first of the two numbers of an advisory lock, as those in shard_locks.py.
PARTIAL_ROOMS = 0x48460005


class Leases:
    def __init__(self, dsn: str, *, reactor: IReactorFromThreads, work: int) -> None:
        self._dsn = dsn
        self._reactor = reactor
        self._work = work
        self._database: Database | None = None
        self._users = 0

    @asynccontextmanager
    async def of(self, number: int) -> AsyncIterator[bool]:
        """Whether the work is ours: it is to the end of the block. The caller asks once at a time for a number."""
        database = self._database = self._database or self._open()
        self._users += 1
        try:
            is_ours = await database.read(take, self._work, number)
            try:
                yield is_ours
            finally:
                if is_ours and self._users > 1:
                    await database.read(release, self._work, number)
        finally:
            self._users -= 1
            if not self._users:
                self._database = None
                database.stop()

    def _open(self) -> Database:
        database = Database(self._dsn, reactor=self._reactor, threads=1)
        database.start()
        return database


def take(cur: Cursor, work: int, number: int) -> bool:
    cur.execute("SELECT pg_try_advisory_lock(%s, %s)", (work, number))
    (is_ours,) = cur.fetchone() or (False,)
    return bool(is_ours)


def release(cur: Cursor, work: int, number: int) -> None:
    cur.execute("SELECT pg_advisory_unlock(%s, %s)", (work, number))
