"""The one door for writing: changes of many requests become one transaction of a few multi-row statements.

Theory of operation. One thread, one connection. It takes all changes that have gathered, and in one transaction:

1. takes the lock of `stream_head`: from here to the commit no other process gives out positions, so that the order of
   positions is the order of commits and a reader who has seen position n will never find a later commit below n;
2. compares the heads of the rooms concerned with those that the changes were decided on, and refuses what came late;
3. gives positions to the entries of the others, one after another, without gaps;
4. runs each statement once, for all rows of all changes;
5. moves the head and commits; a NOTIFY within the transaction tells other processes.

That is two round trips, however many changes there are. While one batch waits for the disk, the next one gathers.
When a statement fails, everything is rolled back and each change is tried alone: the faulty one fails, no other does.
When the connection is lost in the middle of the commit, PostgreSQL is asked what became of that transaction.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg2
from attrs import define, field
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from storage.change import NEVER, AlreadyThere, At, Change, Entry, HeadMoved, Insert, Kind, Row, Statement
from storage.database import DatabaseDown, reconnect

# Beyond this a batch gains no speed, and whoever comes first waits for the rest.
MAX_BATCH = 200
CHANNEL = "hearth_stream"

_ADD_ENTRY = Insert(
    "stream", {"position": "bigint", "kind": "text", "room_nid": "int", "user_id": "text", "body": "text"}
)
_TAKE_HEAD = (
    "BEGIN; SELECT position FROM stream_head FOR UPDATE;"
    " SELECT s.position, pg_current_xact_id()::text, r.room_nid, r.head"
    " FROM stream_head s LEFT JOIN rooms r ON r.room_nid = ANY(%s)"
)

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
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commits what was handed over, then stops. Blocks for that long."""
        self._queue.put(None)
        self._thread.join(10)
        self._stopping.set()

    def __call__(self, change: Change) -> "Deferred[Any]":
        """The value of the change's function, if it has one.

        Raises: HeadMoved, AlreadyThere, psycopg2.Error, for the fault of this change alone.
        """
        waiting = _Waiting(change)
        self._queue.put(waiting)
        return waiting.deferred

    # The rest runs on the committer's thread.

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            try:
                while len(batch) < MAX_BATCH:
                    following = self._queue.get_nowait()
                    if following is None:
                        self._queue.put(None)
                        break
                    batch.append(following)
            except queue.Empty:
                pass
            self._commit(batch)
        if self._connection is not None:
            self._connection.close()

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            outcome = self._transaction(batch)
        except BaseException as error:  # noqa: BLE001  the callers must hear of it, whatever it is
            self._connection_lost_or_rolled_back()
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

    def _connection_lost_or_rolled_back(self) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = None
            return
        with self._connection.cursor() as cur:
            cur.execute("ROLLBACK")

    def _transaction(self, batch: list[_Waiting]) -> _Outcome:
        while True:
            if self._connection is None or self._connection.closed:
                self._connection = reconnect(self._dsn, self._stopping)
            xid = ""
            try:
                with self._connection.cursor() as cur:
                    position, xid, heads = _take_head(cur, batch)
                    outcome = _judge(batch, heads)
                    last = _give_positions(outcome.done, position)
                    self._write(cur, outcome.done, last)
                return outcome
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if not self._connection.closed:
                    raise
                if xid and self._was_committed(xid):
                    return outcome

    def _was_committed(self, xid: str) -> bool:
        """What PostgreSQL knows of a transaction whose commit we did not hear of."""
        self._connection = reconnect(self._dsn, self._stopping)
        with self._connection.cursor() as cur:
            while True:
                cur.execute("SELECT pg_xact_status(%s::xid8)", (xid,))
                (status,) = cur.fetchone() or (None,)
                if status != "in progress":
                    return bool(status == "committed")
                self._stopping.wait(0.05)

    def _write(self, cur: Cursor, done: list[_Waiting], last: int) -> None:
        changes = [waiting.change for waiting in done]
        parts = [part for change in changes for part in change.rows]
        entries = [entry for change in changes for entry in change.entries]
        parts += [(_ADD_ENTRY, self._entry_row(entry)) for entry in entries if entry.kind is not Kind.EVENT]
        sql = list(_statements(cur, parts))
        if moved := _moved_heads(changes):
            sql.append(_move_heads(cur, moved))
        if entries:
            sql.append(cur.mogrify("UPDATE stream_head SET position = %s", (last,)))
            sql.append(cur.mogrify(f"SELECT pg_notify('{CHANNEL}', %s)", (f"{last} {self._instance}",)))
        functions = [change for change in changes if change.then is not None]
        if functions:
            if sql:
                cur.execute(b";".join(sql))
            for change in functions:
                assert change.then is not None
                change.result = change.then(cur)
            sql = []
        cur.execute(b";".join([*sql, b"COMMIT"]))

    def _entry_row(self, entry: Entry) -> Row:
        return (entry.position, str(entry.kind), entry.room_nid, entry.user_id, self._entry_body(entry))


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, errors.UniqueViolation):
        there = AlreadyThere(str(error).strip())
        there.__cause__ = error
        return there
    return error


def _take_head(cur: Cursor, batch: list[_Waiting]) -> tuple[int, str, dict[int, int]]:
    """The last position given out (locked from here on), the id of the transaction, and the rooms' heads."""
    rooms = sorted({head.room_nid for waiting in batch for head in waiting.change.heads})
    cur.execute(_TAKE_HEAD, (rooms,))
    rows = cur.fetchall()
    return rows[0][0], rows[0][1], {room_nid: head for _, _, room_nid, head in rows if room_nid is not None}


def _judge(batch: list[_Waiting], heads: dict[int, int]) -> _Outcome:
    """Refuses the changes that were decided on a head that is no longer the room's."""
    outcome = _Outcome()
    newest: dict[int, Change] = {}
    for waiting in batch:
        change = waiting.change
        if all(_is_head(head.room_nid, head.after, newest, heads) for head in change.heads):
            outcome.done.append(waiting)
            newest.update((head.room_nid, change) for head in change.heads)
        else:
            outcome.refused.append((waiting, HeadMoved()))
    return outcome


def _is_head(room_nid: int, after: "int | Change", newest: dict[int, Change], heads: dict[int, int]) -> bool:
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


def _statements(cur: Cursor, parts: Iterable[tuple[Statement, Row]]) -> Iterable[bytes]:
    """One statement for all rows that have gathered for it, in the order in which statements first came."""
    gathered: dict[Statement, list[Row]] = {}
    for statement, row in parts:
        gathered.setdefault(statement, []).append([_resolved(value) for value in row])
    for statement, rows in gathered.items():
        if (key := statement.key_indexes) is not None:
            rows = list({tuple(row[index] for index in key): row for row in rows}.values())
        yield cur.mogrify(statement.sql, [list(column) for column in zip(*rows, strict=True)])


def _resolved(value: Any) -> Any:
    return value.entry.position if isinstance(value, At) else value


def _moved_heads(changes: Sequence[Change]) -> dict[int, int]:
    moved = {}
    for change in changes:
        for head in change.heads:
            if position := change.position_in(head.room_nid):
                moved[head.room_nid] = position
    return moved


def _move_heads(cur: Cursor, moved: dict[int, int]) -> bytes:
    return cur.mogrify(
        "UPDATE rooms SET head = v.head FROM unnest(%s::int[], %s::bigint[]) AS v (room_nid, head)"
        " WHERE rooms.room_nid = v.room_nid",
        (list(moved), list(moved.values())),
    )
