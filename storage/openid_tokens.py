"""Tokens by which a user proves to a third service who they are. Stored are their SHA-256 hashes."""

import hashlib

from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId


def add(cur: Cursor, token: str, user_id: str, expires_ms: int) -> None:
    cur.execute(
        "INSERT INTO openid_tokens (token_hash, user_id, expires_ms) VALUES (%s, %s, %s)",
        (_hash(token), user_id, expires_ms),
    )


def find_user(cur: Cursor, token: str, now_ms: int) -> UserId | None:
    """Whose token it is, if it is still good and the user's account too."""
    cur.execute(
        "SELECT t.user_id FROM openid_tokens t JOIN users u USING (user_id)"
        " WHERE t.token_hash = %s AND t.expires_ms > %s AND NOT u.is_deactivated",
        (_hash(token), now_ms),
    )
    row = cur.fetchone()
    return None if row is None else UserId(row[0])


def trim(cur: Cursor, now_ms: int, limit: int = 5_000) -> int:
    """Deletes what has expired, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM openid_tokens WHERE token_hash IN (SELECT token_hash FROM openid_tokens"
        " WHERE expires_ms <= %s LIMIT %s)",
        (now_ms, limit),
    )
    return cur.rowcount


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
