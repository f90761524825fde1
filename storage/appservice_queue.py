"""How far each application service was told, and the transaction that is under way to it.

A service that is behind costs its row and no more: what it has to hear is found in the tables of events and of the
stream (appservice_reading.py). Every write names the transaction that it follows, so that a process that has lost its
shard without knowing can do no harm.
"""

from collections.abc import Collection, Mapping

from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Delete

# For the change that removes a registration: if the service comes back, it begins anew.
FORGET = Delete("appservice_queues", {"id": "text"})
MAX_FAULT_CHARACTERS = 1_000


@frozen(kw_only=True)
class Outgoing:
    """A transaction under way: all that concerns the service up to the position `upto`."""

    transaction_id: int
    upto: int
    made_ms: int
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class QueueRow:
    """`transaction_id`: the last one's. `under_way`: it, if it was not taken yet."""

    position: int
    transaction_id: int
    failures: int
    under_way: Outgoing | None


def begin(cur: Cursor, ids: Collection[str], now_ms: int) -> None:
    """Those of the services that are new hear of all that is committed from now on.

    Numbers of transactions begin with the time, so that a service that remembers those of another database, or of a
    time before it was removed, takes none for a repetition.
    """
    cur.execute(
        "INSERT INTO appservice_queues (id, position, transaction_id) SELECT v.id, h.position, %s"
        " FROM unnest(%s::text[]) AS v (id), stream_head h ON CONFLICT DO NOTHING",
        (now_ms, sorted(ids)),
    )


def take_up(cur: Cursor, ids: Collection[str], now_ms: int) -> dict[str, QueueRow]:
    """The rows of these services."""
    begin(cur, ids, now_ms)
    cur.execute(
        "SELECT id, position, transaction_id, upto, body, made_ms, failures FROM appservice_queues WHERE id = ANY(%s)",
        (list(ids),),
    )
    found = {}
    for name, at, transaction_id, upto, body, made_ms, failures in cur:
        under_way = None
        if body is not None:
            under_way = Outgoing(transaction_id=transaction_id, upto=upto, made_ms=made_ms, body=body.encode())
        found[name] = QueueRow(position=at, transaction_id=transaction_id, failures=failures, under_way=under_way)
    return found


def put(cur: Cursor, name: str, after: int, position: int, new: Outgoing) -> bool:
    """Begins a transaction; the one `after` which it comes was taken, and with it all up to the position.

    False if another process has gone on from there. One statement.
    """
    cur.execute(
        "UPDATE appservice_queues SET position = %s, transaction_id = %s, upto = %s, body = %s, made_ms = %s,"
        " failures = 0, failing_since_ms = NULL, retry_at_ms = NULL, fault = NULL"
        " WHERE id = %s AND transaction_id = %s",
        (position, new.transaction_id, new.upto, new.body.decode(), new.made_ms, name, after),
    )
    return cur.rowcount == 1


def acknowledge(cur: Cursor, name: str, transaction_id: int, position: int) -> bool:
    """The transaction was taken, and nothing follows. False as above. One statement."""
    cur.execute(
        "UPDATE appservice_queues SET position = %s, upto = NULL, body = NULL, made_ms = NULL, failures = 0,"
        " failing_since_ms = NULL, retry_at_ms = NULL, fault = NULL WHERE id = %s AND transaction_id = %s",
        (position, name, transaction_id),
    )
    return cur.rowcount == 1


@frozen(kw_only=True)
class Failed:
    failures: int
    now_ms: int
    retry_at_ms: int
    fault: str


def put_failure(cur: Cursor, name: str, transaction_id: int, failed: Failed) -> bool:
    """The transaction was not taken. False as above. One statement."""
    fault = failed.fault.replace("\x00", "")[:MAX_FAULT_CHARACTERS]
    cur.execute(
        "UPDATE appservice_queues SET failures = %s, failing_since_ms = coalesce(failing_since_ms, %s),"
        " retry_at_ms = %s, fault = %s WHERE id = %s AND transaction_id = %s",
        (failed.failures, failed.now_ms, failed.retry_at_ms, fault, name, transaction_id),
    )
    return cur.rowcount == 1


def move(cur: Cursor, positions: Mapping[str, int]) -> None:
    """Nothing up to these positions concerns the services, to which nothing is under way. One statement."""
    cur.execute(
        "UPDATE appservice_queues q SET position = v.position FROM unnest(%s::text[], %s::bigint[]) AS v (id, position)"
        " WHERE q.id = v.id AND q.upto IS NULL AND q.position < v.position",
        (list(positions), list(positions.values())),
    )


def delete(cur: Cursor, ids: Collection[str]) -> None:
    """These services are no more. One statement."""
    cur.execute("DELETE FROM appservice_queues WHERE id = ANY(%s)", (list(ids),))


@frozen(kw_only=True)
class QueueStatus:
    """For the operator. `positions`: how far behind the head of the stream. Times are None where nothing is amiss."""

    id: str
    positions: int
    transaction_id: int
    waiting_since_ms: int | None
    failures: int
    failing_since_ms: int | None
    retry_at_ms: int | None
    fault: str | None


def statuses(cur: Cursor) -> list[QueueStatus]:
    """Of all services that were ever told something, by id. One statement."""
    cur.execute(
        "SELECT q.id, h.position - q.position, q.transaction_id, q.made_ms, q.failures, q.failing_since_ms,"
        " q.retry_at_ms, q.fault FROM appservice_queues q CROSS JOIN stream_head h ORDER BY q.id"
    )
    return [
        QueueStatus(
            id=row[0],
            positions=row[1],
            transaction_id=row[2],
            waiting_since_ms=row[3],
            failures=row[4],
            failing_since_ms=row[5],
            retry_at_ms=row[6],
            fault=row[7],
        )
        for row in cur
    ]
