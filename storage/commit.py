"""The one door for writing: changes of many requests become one transaction of a few multi-row statements.

Theory of operation. One thread, one connection. It takes all changes that have gathered, and in one transaction:

1. takes the lock of `stream_head`: from here to the commit no other process gives out positions, so that the order of
   positions is the order of commits and a reader who has seen position n will never find a later commit below n;
2. compares the heads of the rooms concerned with those that the changes were decided on, and refuses what came late,
   and what takes for new what is there;
3. gives positions to the entries of the others, one after another, without gaps;
4. runs each statement once, for all rows of all changes (see grouping.py);
5. moves the heads and commits; a NOTIFY within the transaction tells other processes, if there are any (tail.py): each
   would wake this one too.

That is two round trips, however many changes there are. While one batch waits for the disk, the next one gathers.
When a statement fails, everything is rolled back and each change is tried alone: the faulty one fails, no other does.

When the connection is lost nobody says whether the commit came through. So each transaction writes its number into
this process's row of `committers`; with the lock of `stream_head` in hand nothing of ours is under way any more, and
the row says what the last commit was. (pg_xact_status would not do: a PostgreSQL that was killed may give the id of a
lost transaction to another one.)
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg2
from attrs import define, field, frozen
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from storage.change import NEVER, AlreadyThere, Change, Custom, Entry, HeadMoved, Insert, Kind, NotNew, Row, int_array
from storage.database import ATTEMPTS, RACES, DatabaseDown, is_lost, reconnect
from storage.grouping import grouped
from storage.prepared import Prepared, PreparingConnection

# Beyond this a batch gains no speed, and whoever comes first waits for the rest.
MAX_BATCH = 200
CHANNEL = "hearth_stream"

_ADD_ENTRY = Insert(
    "stream", {"position": "bigint", "kind": "text", "room_nid": "int", "user_id": "text", "body": "text"}
)
_LOCK_STREAM = "SELECT position FROM stream_head FOR UPDATE"
_ARE_HEARD = "EXISTS (SELECT FROM listeners WHERE instance <> %s::text)"
_READ_HEADS = (
    f"SELECT s.position, r.room_nid, r.head, {_ARE_HEARD}"
    " FROM stream_head s LEFT JOIN rooms r ON r.room_nid = ANY(%s::int[])"
)
# And those ids that are not new: see Change.only_if_new.
_READ_HEADS_AND_KNOWN = (
    f"SELECT s.position, r.room_nid, r.head, {_ARE_HEARD}, ARRAY("
    " SELECT event_id FROM events WHERE event_id = ANY(%s::text[])"
    " UNION ALL SELECT target_id FROM awaited_redactions WHERE target_id = ANY(%s::text[])"
    " UNION ALL SELECT i FROM unnest(%s::text[]) i WHERE EXISTS (SELECT FROM relations WHERE parent_id = i)"
    " UNION ALL SELECT m.event_id FROM missing_prev_events m WHERE m.room_nid = ANY(%s::int[])"
    " AND m.event_id = ANY(%s::text[]))"
    " FROM stream_head s LEFT JOIN rooms r ON r.room_nid = ANY(%s::int[])"
)
_MOVE_HEADS = Custom(
    {"room_nid": "int", "head": "bigint", "extremities": "bigint[]"},
    "UPDATE rooms r SET head = v.head, extremities = coalesce(v.extremities::bigint[], r.extremities)"
    " FROM {v} WHERE r.room_nid = v.room_nid",
    key_indexes=(0,),
)
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', %s::text)"
_SET_NUMBER = (
    "INSERT INTO committers (instance, number) VALUES (%s::text, %s::bigint)"
    " ON CONFLICT (instance) DO UPDATE SET number = excluded.number, at = now()"
)
# Each statement costs PostgreSQL more than what it does: what every commit does is one.
_MOVE_STREAM = "moved AS (UPDATE stream_head SET position = %s::bigint)"
_MOVE_STREAM_AND_SET_NUMBER = f"WITH {_MOVE_STREAM} {_SET_NUMBER}"
_MOVE_ALL_AND_SET_NUMBER = (
    f"WITH {_MOVE_STREAM}, room AS (UPDATE rooms SET head = %s::bigint,"
    " extremities = coalesce(%s::bigint[], extremities) WHERE room_nid = %s::int)"
    f" {_SET_NUMBER}"
)
_LAST_COMMIT = f"BEGIN; {_LOCK_STREAM}; SELECT coalesce((SELECT number FROM committers WHERE instance = %s), 0)"


@frozen
class _Head:
    """The stream's last position, the rooms' heads, and those of the ids asked for that are not new.

    `is_heard`: do other processes listen?
    """

    position: int
    of_rooms: Mapping[int, int]
    known: frozenset[str]
    is_heard: bool


Published = Callable[[list[Entry]], None]


class CommitterStopped(Exception):
    """The server is going down; nothing was written."""


@define(eq=False)
class _Waiting:
    change: Change
    deferred: "Deferred[Any]" = field(factory=Deferred)


@define(eq=False)
class _Outcome:
    """What became of a batch: the changes done, with their values, and those refused, with the reasons."""

    done: list[_Waiting] = field(factory=list)
    refused: list[tuple[_Waiting, BaseException]] = field(factory=list)


class Committer:
    """`await committer(change)` returns when the change is durable and the stream has told it.

    `published` is called on the reactor's thread with the entries of each commit, in their order, before the
    callers go on.
    """

    def __init__(
        self,
        dsn: str,
        *,
        reactor: IReactorFromThreads,
        published: Published,
        instance: str,
        entry_body: Callable[[Entry], str],
    ) -> None:
        self._dsn = dsn
        self._reactor = reactor
        self._published = published
        self._instance = instance
        self._entry_body = entry_body
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._connection: PreparingConnection | None = None
        self._number = 0  # of our last transaction, committed or not
        self._stopped = False  # from here on nothing more is taken
        self._ended = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commits what was handed over, then stops. Blocks for that long."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join(10)
        self._stopping.set()

    def __call__(self, change: Change) -> "Deferred[Any]":
        """The value of the change's function, if it has one.

        Raises: HeadMoved, NotNew, AlreadyThere, psycopg2.Error, for the fault of this change alone.
        """
        waiting = _Waiting(change)
        if self._stopped:
            waiting.deferred.errback(CommitterStopped())
        else:
            self._queue.put(waiting)
        return waiting.deferred

    # The rest runs on the committer's thread.

    def _work(self) -> None:
        while not self._ended:
            self._commit(self._next_batch())
        if self._connection is not None:
            self._connection.close()

    def _next_batch(self) -> list[_Waiting]:
        """All that has gathered; waits for the first. Nothing follows the None that `stop` puts in."""
        batch: list[_Waiting] = []
        following = self._queue.get()
        while following is not None:
            batch.append(following)
            if len(batch) == MAX_BATCH or self._queue.empty():
                return batch
            following = self._queue.get_nowait()
        self._ended = True
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            outcome = self._transaction(batch)
        except BaseException as error:  # noqa: BLE001  the callers must hear of it, whatever it is
            self._roll_back()
            if len(batch) > 1 and not isinstance(error, DatabaseDown):
                for waiting in batch:
                    self._commit([waiting])
                return
            outcome = _Outcome(refused=[(waiting, _translated(error)) for waiting in batch])
        _forget_positions(outcome)
        self._reactor.callFromThread(self._tell, outcome)

    def _tell(self, outcome: _Outcome) -> None:
        entries = [entry for waiting in outcome.done for entry in waiting.change.entries]
        if entries:
            self._published(entries)
        for waiting in outcome.done:
            waiting.deferred.callback(waiting.change.result)
        for waiting, error in outcome.refused:
            waiting.deferred.errback(error)

    def _roll_back(self) -> None:
        if self._connection is None or self._connection.closed:
            return
        try:
            with self._connection.cursor() as cur:
                cur.execute(f"ROLLBACK; {Prepared.FORGET}")
            self._connection.prepared = Prepared()
        except psycopg2.Error:
            self._connection.close()

    def _transaction(self, batch: list[_Waiting]) -> _Outcome:
        """Tried again after a lost connection or a lost race with other writers; all else is the batch's fault."""
        races = 0
        while True:
            connection = self._connection
            if connection is None or connection.closed:
                connection = self._connect()
            outcome: _Outcome | None = None
            self._number += 1
            try:
                with connection.cursor() as cur:
                    head = self._take_head(cur, batch)
                    outcome = _judge(batch, head)
                    last = _give_positions(outcome.done, head.position)
                    self._write(cur, outcome.done, last, is_heard=head.is_heard)
            except RACES:
                races += 1
                if races == ATTEMPTS:
                    raise
                self._roll_back()
            except psycopg2.Error as error:
                if not is_lost(error, connection):
                    raise
                if outcome is not None and self._last_commit() == self._number:
                    return outcome
            else:
                return outcome

    def _last_commit(self) -> int:
        """The number of our last transaction that was committed. Raises: DatabaseDown."""
        while True:
            connection = self._connect()
            try:
                with connection.cursor() as cur:
                    cur.execute(_LAST_COMMIT, (self._instance,))
                    row = cur.fetchone()
                    cur.execute("COMMIT")
                    assert row is not None
                    return int(row[0])
            except psycopg2.Error as error:
                if not is_lost(error, connection):
                    raise

    def _connect(self) -> PreparingConnection:
        self._connection = reconnect(self._dsn, self._stopping)
        return self._connection

    @property
    def _call(self) -> Callable[..., bytes]:
        assert self._connection is not None
        return self._connection.prepared.call

    def _take_head(self, cur: Cursor, batch: list[_Waiting]) -> "_Head":
        """What is there; the last position given out is locked from here on."""
        rooms = sorted({head.room_nid for waiting in batch for head in waiting.change.heads})
        ids = [event_id for waiting in batch for event_id in waiting.change.new_ids]
        call = self._call
        if ids:
            read = call(cur, _READ_HEADS_AND_KNOWN, self._instance, ids, ids, ids, rooms, ids, rooms)
        else:
            read = call(cur, _READ_HEADS, self._instance, rooms)
        cur.execute(b";".join((b"BEGIN", call(cur, _LOCK_STREAM), read)))
        rows = cur.fetchall()
        known = frozenset(rows[0][4]) if ids else frozenset()
        return _Head(rows[0][0], {row[1]: row[2] for row in rows if row[1] is not None}, known, rows[0][3])

    def _write(self, cur: Cursor, done: list[_Waiting], last: int, *, is_heard: bool) -> None:
        changes = [waiting.change for waiting in done]
        parts = [part for change in changes for part in change.rows]
        entries = [entry for change in changes for entry in change.entries]
        parts += [(_ADD_ENTRY, self._entry_row(entry)) for entry in entries if entry.kind is not Kind.EVENT]
        call = self._call
        sql = [call(cur, statement.sql, statement.rows_json(rows)) for statement, rows in grouped(parts)]
        sql += self._moves(cur, _moved_heads(changes), last if entries else None)
        if entries and is_heard:
            sql.append(call(cur, _NOTIFY, f"{last} {self._instance}"))
        functions = [change for change in changes if change.then is not None]
        if functions:
            cur.execute(b";".join(sql))
            for change in functions:
                assert change.then is not None
                change.result = change.then(cur)
            sql = []
        cur.execute(b";".join([*sql, b"COMMIT"]))

    def _moves(self, cur: Cursor, heads: Sequence[Row], last: int | None) -> list[bytes]:
        """Moves these rooms' heads, and the stream's to `last` if it is given; keeps the transaction's number."""
        call, number = self._call, (self._instance, self._number)
        if last is None:
            return [call(cur, _SET_NUMBER, *number)]
        if len(heads) == 1:
            [(room_nid, head, extremities)] = heads
            return [call(cur, _MOVE_ALL_AND_SET_NUMBER, last, head, extremities, room_nid, *number)]
        moved = [call(cur, _MOVE_HEADS.sql, _MOVE_HEADS.rows_json(heads))] if heads else []
        return [*moved, call(cur, _MOVE_STREAM_AND_SET_NUMBER, last, *number)]

    def _entry_row(self, entry: Entry) -> Row:
        return (entry.position, str(entry.kind), entry.room_nid, entry.user_id, self._entry_body(entry))


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, errors.UniqueViolation):
        there = AlreadyThere(str(error).strip())
        there.__cause__ = error
        return there
    return error


def _judge(batch: list[_Waiting], now: _Head) -> _Outcome:
    """Refuses the changes that were decided on a head that is no longer the room's, or take for new what is not."""
    outcome = _Outcome()
    newest: dict[int, Change] = {}
    for waiting in batch:
        change = waiting.change
        if not now.known.isdisjoint(change.new_ids):
            outcome.refused.append((waiting, NotNew()))
        elif all(_is_head(head.room_nid, head.after, newest, now.of_rooms) for head in change.heads):
            outcome.done.append(waiting)
            if change.entries:
                newest.update((head.room_nid, change) for head in change.heads)
        else:
            outcome.refused.append((waiting, HeadMoved()))
    return outcome


def _is_head(room_nid: int, after: "int | Change", newest: dict[int, Change], heads: Mapping[int, int]) -> bool:
    if room_nid in newest:
        return newest[room_nid] is after
    position = after.position_in(room_nid) if isinstance(after, Change) else after
    return heads.get(room_nid, 0) == position


def _give_positions(done: list[_Waiting], position: int) -> int:
    for waiting in done:
        for entry in waiting.change.entries:
            position += 1
            entry.position = position
    return position


def _forget_positions(outcome: _Outcome) -> None:
    """No change decided on a refused one may pass for decided on the room's head."""
    for waiting, _ in outcome.refused:
        for entry in waiting.change.entries:
            entry.position = NEVER


def _moved_heads(changes: Sequence[Change]) -> list[Row]:
    """Rows of `_MOVE_HEADS`: the new position and extremities of each room that has events in the changes."""
    moved: dict[int, Row] = {}
    for change in changes:
        for head in change.heads:
            if position := change.position_in(head.room_nid):
                known = moved.get(head.room_nid, (None, None, None))[2]
                extremities = known if head.extremities is None else int_array(head.extremities)
                moved[head.room_nid] = (head.room_nid, position, extremities)
    return list(moved.values())


def trim_committers(cur: Cursor) -> int:
    """Deletes the rows of processes that are gone: those that have not written for a day."""
    cur.execute("DELETE FROM committers WHERE at < now() - interval '1 day'")
    return cur.rowcount
