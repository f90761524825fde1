"""Work that only one process may do, in shards: claimed by advisory locks, shared out evenly, inherited from the dead.

The locks belong to one connection. PostgreSQL frees them when it ends, however the process ended. Whoever looks sees
how many processes there are (each holds one shared lock that says so), takes free shards up to its fair share, and is
told what it holds beyond that.
"""

from collections.abc import Collection

from attrs import frozen
from psycopg2.extensions import cursor as Cursor
from twisted.internet.interfaces import IReactorFromThreads

from storage.database import Database

# What kinds of work there are: the first of the two numbers of an advisory lock, the second is the shard.
FEDERATION_SENDER = 0x48460001
PUSH = 0x48460002
MAILS = 0x48460004
APPSERVICES = 0x48460003

_LOCKS = (
    "SELECT objid::bigint, pid = pg_backend_pid() FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND objsubid = 2 AND classid::bigint = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@frozen
class Held:
    """The shards that are ours now, and those of them that others should have: to be released when that is safe."""

    shards: frozenset[int]
    surplus: frozenset[int]


class ShardLocks:
    """`look` every few seconds. What was held may be lost between two looks, if the connection was."""

    def __init__(self, dsn: str, *, reactor: IReactorFromThreads, work: int, count: int) -> None:
        self._database = Database(dsn, reactor=reactor, threads=1)
        self._work = work
        self._count = count
        self._started = False

    async def look(self) -> Held:
        if not self._started:
            self._started = True
            self._database.start()
        return await self._database.read(take_share, self._work, self._count)

    async def release(self, shards: Collection[int]) -> None:
        await self._database.read(release, self._work, shards)

    def stop(self) -> None:
        """Closes the connection: all shards are free."""
        if self._started:
            self._started = False
            self._database.stop()


def take_share(cur: Cursor, work: int, count: int) -> Held:
    """Takes free shards until this connection has its share of them. Each statement on its own."""
    # The lock that says "here is a process" stands behind the shards.
    cur.execute(_LOCKS, (work,))
    locks = cur.fetchall()
    if (count, True) not in locks:
        cur.execute("SELECT pg_advisory_lock_shared(%s, %s)", (work, count))
        cur.execute(_LOCKS, (work,))
        locks = cur.fetchall()
    processes = max(1, sum(1 for key, _ in locks if key == count))
    mine = {key for key, is_mine in locks if is_mine and key < count}
    taken = {key for key, _ in locks}
    share = -(-count // processes)
    free = [shard for shard in range(count) if shard not in taken][: max(0, share - len(mine))]
    if free:
        cur.execute("SELECT s FROM unnest(%s::int[]) AS s WHERE pg_try_advisory_lock(%s, s)", (free, work))
        mine.update(shard for (shard,) in cur)
    return Held(frozenset(mine), frozenset(sorted(mine)[share:]))


def release(cur: Cursor, work: int, shards: Collection[int]) -> None:
    cur.execute("SELECT pg_advisory_unlock(%s, s) FROM unnest(%s::int[]) AS s", (work, list(shards)))
