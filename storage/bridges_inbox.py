"""What bridges have accepted and are still to bridge, in order within each queue."""

from collections.abc import Sequence
from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from storage.bridges import bridge_text

NETWORK, MATRIX, OWN = 0, 1, 2
# How long what was taken is known to have been: longer than anyone repeats a delivery.
KEEP_TAKEN_MS = 7 * 24 * 3600 * 1000


@frozen(kw_only=True)
class Accepted:
    """What is to be put into a queue. `key`: taken once."""

    queue: str
    source: int
    payload: dict[str, Any]
    key: str | None = None


@frozen(kw_only=True)
class Waiting:
    """What stands in a queue. `begun_ms`: when it was first tried, if it was."""

    seq: int
    queue: str
    source: int
    payload: dict[str, Any]
    accepted_ms: int
    attempts: int
    begun_ms: int | None


def accept(cur: Cursor, bridge: str, items: Sequence[Accepted], now_ms: int, *, once: str | None = None) -> set[str]:
    """Puts the items at the ends of their queues; gives the queues. `once`: a key for all of them together."""
    if once is not None and once not in _take(cur, bridge, [once], now_ms):
        return set()
    new = _take(cur, bridge, sorted({item.key for item in items if item.key is not None}), now_ms)
    rows, seen = [], set[str]()
    for item in items:
        if item.key is not None:
            if item.key not in new or item.key in seen:
                continue
            seen.add(item.key)
        rows.append((bridge, item.queue, item.source, bridge_text(item.payload), now_ms))
    if rows:
        execute_values(
            cur, "INSERT INTO bridge_inbox (bridge, queue, source, payload, accepted_ms) VALUES %s", rows, page_size=500
        )
    return {row[1] for row in rows}


def _take(cur: Cursor, bridge: str, keys: list[str], now_ms: int) -> set[str]:
    """Those of the keys that are new."""
    if not keys:
        return set()
    cur.execute(
        "INSERT INTO bridge_taken (bridge, key, at_ms) SELECT %s, key, %s FROM unnest(%s::text[]) AS key"
        " ON CONFLICT DO NOTHING RETURNING key",
        (bridge, now_ms, keys),
    )
    return {key for (key,) in cur}


def queues(cur: Cursor, bridge: str) -> list[str]:
    """Those in which something waits."""
    cur.execute("SELECT DISTINCT queue FROM bridge_inbox WHERE bridge = %s", (bridge,))
    return [queue for (queue,) in cur]


def depth(cur: Cursor, bridge: str) -> tuple[int, int | None]:
    """How much waits, and since when."""
    cur.execute("SELECT count(*), min(accepted_ms) FROM bridge_inbox WHERE bridge = %s", (bridge,))
    row = cur.fetchone()
    assert row is not None
    return row[0], row[1]


def waiting(cur: Cursor, bridge: str, queue: str, limit: int) -> list[Waiting]:
    """The first of a queue."""
    cur.execute(
        "SELECT seq, queue, source, payload, accepted_ms, attempts, begun_ms FROM bridge_inbox"
        " WHERE bridge = %s AND queue = %s ORDER BY seq LIMIT %s",
        (bridge, queue, limit),
    )
    return [
        Waiting(
            seq=seq,
            queue=name,
            source=source,
            payload=orjson.loads(payload),
            accepted_ms=accepted_ms,
            attempts=attempts,
            begun_ms=begun_ms,
        )
        for seq, name, source, payload, accepted_ms, attempts, begun_ms in cur
    ]


def begin(cur: Cursor, bridge: str, seq: int, now_ms: int) -> None:
    """It is being sent from now on."""
    cur.execute(
        "UPDATE bridge_inbox SET begun_ms = coalesce(begun_ms, %s) WHERE bridge = %s AND seq = %s",
        (now_ms, bridge, seq),
    )


def count_attempt(cur: Cursor, bridge: str, seq: int) -> None:
    cur.execute("UPDATE bridge_inbox SET attempts = attempts + 1 WHERE bridge = %s AND seq = %s", (bridge, seq))


def delete(cur: Cursor, bridge: str, seq: int) -> None:
    """It is done."""
    cur.execute("DELETE FROM bridge_inbox WHERE bridge = %s AND seq = %s", (bridge, seq))


def move(cur: Cursor, bridge: str, queue: str, to: str) -> None:
    """What waits in one queue waits in the other, behind what is there."""
    cur.execute(
        "UPDATE bridge_inbox SET queue = %s, seq = nextval('bridge_inbox_seq_seq') WHERE bridge = %s AND queue = %s",
        (to, bridge, queue),
    )


def trim_taken(cur: Cursor, bridge: str, now_ms: int, limit: int = 10_000) -> int:
    cur.execute(
        "DELETE FROM bridge_taken WHERE (bridge, key) IN"
        " (SELECT bridge, key FROM bridge_taken WHERE bridge = %s AND at_ms < %s LIMIT %s)",
        (bridge, now_ms - KEEP_TAKEN_MS, limit),
    )
    return cur.rowcount
