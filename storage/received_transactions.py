"""Transactions of other servers that were answered: one that is repeated has the same answer."""

from psycopg2.extensions import cursor as Cursor

from storage.change import Insert

ADD = Insert(
    "federation_received",
    {"origin": "text", "transaction_id": "text", "answer": "text", "received_ms": "bigint"},
    key=("origin", "transaction_id"),
    on_conflict="ignore",
)
# A server that has not heard our answer tries again within its longest pause, an hour at most servers.
LIFETIME_MS = 24 * 3600 * 1000


def trim(cur: Cursor, now_ms: int, limit: int = 5_000) -> int:
    """Forgets old ones, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM federation_received WHERE ctid IN (SELECT ctid FROM federation_received"
        " WHERE received_ms < %s ORDER BY received_ms LIMIT %s)",
        (now_ms - LIFETIME_MS, limit),
    )
    return cur.rowcount
