"""What bridges have accepted and are still to bridge, in order within each queue."""

from collections.abc import Sequence
from typing import Any

import orjson
from attrs import define, frozen
from psycopg2.extensions import cursor as Cursor

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


@define(kw_only=True)
class Waiting:
    """What stands in a queue. `begun_ms`: when it was first tried, if it was. `is_gone`: it was deleted already, with
    the writing of what it became."""

    seq: int
    queue: str
    source: int
    payload: dict[str, Any]
    accepted_ms: int
    attempts: int = 0
    begun_ms: int | None = None
    is_gone: bool = False


_ACCEPT = """
WITH taken AS (
    INSERT INTO bridge_taken (bridge, key, at_ms)
    SELECT %(bridge)s, key, %(now_ms)s FROM unnest(%(new_keys)s::text[]) AS key
    ON CONFLICT DO NOTHING RETURNING key
), added AS (
    INSERT INTO bridge_inbox (bridge, queue, source, payload, accepted_ms)
    SELECT %(bridge)s, item.queue, item.source, item.payload, %(now_ms)s
    FROM unnest(%(queues)s::text[], %(sources)s::smallint[], %(payloads)s::text[], %(keys)s::text[])
        WITH ORDINALITY AS item (queue, source, payload, key, number)
    WHERE item.key IS NULL OR item.key IN (SELECT taken.key FROM taken)
    ORDER BY item.number RETURNING seq
)
SELECT (SELECT array_agg(key) FROM taken), (SELECT array_agg(seq ORDER BY seq) FROM added)
"""


def accept(
    cur: Cursor, bridge: str, items: Sequence[Accepted], now_ms: int, *, once: str | None = None
) -> list[Waiting]:
    """Puts the items at the ends of their queues; gives those that were not taken before. One statement.

    `once`: a key for all of them together, in place of their own.
    """
    items = items if once is not None else _first_of_each_key(items)
    keys = [once or item.key for item in items]
    texts = [bridge_text(item.payload) for item in items]
    given: dict[str, Any] = {"bridge": bridge, "now_ms": now_ms, "keys": keys, "payloads": texts}
    given["new_keys"] = sorted({key for key in keys if key is not None})
    given |= {"queues": [item.queue for item in items], "sources": [item.source for item in items]}
    cur.execute(_ACCEPT, given)
    row = cur.fetchone()
    assert row is not None
    taken, seqs = set(row[0] or ()), row[1] or ()
    new = [each for each in zip(items, keys, texts, strict=True) if each[1] is None or each[1] in taken]
    return [
        Waiting(seq=seq, queue=item.queue, source=item.source, payload=orjson.loads(text), accepted_ms=now_ms)
        for seq, (item, _, text) in zip(seqs, new, strict=True)
    ]


def _first_of_each_key(items: Sequence[Accepted]) -> Sequence[Accepted]:
    first = {item.key: item for item in reversed(items)}
    return [item for item in items if item.key is None or first[item.key] is item]


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


def begin(cur: Cursor, bridge: str, seq: int, event_id: str, now_ms: int) -> bool:
    """Is the event on the network already? If not, it is noted that it is being sent from now on. One statement."""
    cur.execute(
        "WITH known AS (SELECT FROM bridge_messages WHERE bridge = %(bridge)s AND event_id = %(event_id)s LIMIT 1),"
        " begun AS (UPDATE bridge_inbox SET begun_ms = coalesce(begun_ms, %(now_ms)s)"
        " WHERE bridge = %(bridge)s AND seq = %(seq)s AND NOT EXISTS (SELECT FROM known))"
        " SELECT EXISTS (SELECT FROM known)",
        {"bridge": bridge, "event_id": event_id, "now_ms": now_ms, "seq": seq},
    )
    row = cur.fetchone()
    return row is not None and bool(row[0])


def count_attempt(cur: Cursor, bridge: str, seq: int) -> None:
    cur.execute("UPDATE bridge_inbox SET attempts = attempts + 1 WHERE bridge = %s AND seq = %s", (bridge, seq))


def delete(cur: Cursor, bridge: str, seq: int) -> None:
    """It is done."""
    cur.execute("DELETE FROM bridge_inbox WHERE bridge = %s AND seq = %s", (bridge, seq))


def trim_taken(cur: Cursor, bridge: str, now_ms: int, limit: int = 10_000) -> int:
    cur.execute(
        "DELETE FROM bridge_taken WHERE (bridge, key) IN"
        " (SELECT bridge, key FROM bridge_taken WHERE bridge = %s AND at_ms < %s LIMIT %s)",
        (bridge, now_ms - KEEP_TAKEN_MS, limit),
    )
    return cur.rowcount
