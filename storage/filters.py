"""Filters that clients upload. A filter never changes."""

import hashlib

from psycopg2.extensions import cursor as Cursor


def add_filter(cur: Cursor, user_id: str, json: str) -> int:
    """The number of the user's filter; the same one again has the same number."""
    cur.execute(
        "INSERT INTO filters (user_id, hash, json) VALUES (%s, %s, %s)"
        # An update that changes nothing, for its RETURNING.
        " ON CONFLICT (user_id, hash) DO UPDATE SET hash = excluded.hash RETURNING filter_id",
        (user_id, hashlib.sha256(json.encode()).digest(), json),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def find_filter(cur: Cursor, user_id: str, filter_id: int) -> str | None:
    cur.execute("SELECT json FROM filters WHERE user_id = %s AND filter_id = %s", (user_id, filter_id))
    row = cur.fetchone()
    return None if row is None else str(row[0])
