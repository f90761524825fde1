"""Previews of links that were made lately."""

import hashlib

from psycopg2.extensions import cursor as Cursor


def find_preview(cur: Cursor, url: str, now_ms: int) -> str | None:
    """What the client gets, if it is not too old."""
    cur.execute("SELECT json FROM url_previews WHERE url_sha256 = %s AND expires_ms > %s", (_key(url), now_ms))
    row = cur.fetchone()
    return None if row is None else str(row[0])


def put_preview(cur: Cursor, url: str, json: str, expires_ms: int) -> None:
    cur.execute(
        "INSERT INTO url_previews (url_sha256, expires_ms, json) VALUES (%s, %s, %s)"
        " ON CONFLICT (url_sha256) DO UPDATE SET expires_ms = excluded.expires_ms, json = excluded.json",
        (_key(url), expires_ms, json),
    )


def delete_expired(cur: Cursor, now_ms: int, limit: int) -> int:
    """Gives how many."""
    cur.execute(
        "DELETE FROM url_previews WHERE url_sha256 IN (SELECT url_sha256 FROM url_previews"
        " WHERE expires_ms < %s LIMIT %s)",
        (now_ms, limit),
    )
    return cur.rowcount


def _key(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()
