"""Tokens that admit to registration. A use is pending from the stage's completion to the account's creation."""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Custom

# The account was made: the pending use is one that counts for good.
COMPLETE = Custom(
    {"token": "text"},
    "UPDATE registration_tokens r SET pending = greatest(0, r.pending - v.uses), completed = r.completed + v.uses"
    " FROM (SELECT token, count(*) AS uses FROM {v} GROUP BY token) v WHERE r.token = v.token",
)

_USABLE = (
    "(uses_allowed IS NULL OR pending + completed < uses_allowed) AND (expires_ms IS NULL OR expires_ms >= %(now)s)"
)


@frozen
class RegistrationToken:
    token: str
    uses_allowed: int | None
    pending: int
    completed: int
    expires_ms: int | None


_COLUMNS = "token, uses_allowed, pending, completed, expires_ms"


def is_usable(cur: Cursor, token: str, now_ms: int) -> bool:
    cur.execute(
        f"SELECT 1 FROM registration_tokens WHERE token = %(token)s AND {_USABLE}", {"token": token, "now": now_ms}
    )
    return cur.fetchone() is not None


def reserve(cur: Cursor, token: str, now_ms: int) -> bool:
    """Takes one use, pending. False if there is none left."""
    cur.execute(
        f"UPDATE registration_tokens SET pending = pending + 1 WHERE token = %(token)s AND {_USABLE}",
        {"token": token, "now": now_ms},
    )
    return cur.rowcount > 0


def release(cur: Cursor, tokens: list[str]) -> None:
    """Gives pending uses back: their registrations were abandoned."""
    cur.execute(
        "UPDATE registration_tokens r SET pending = greatest(0, r.pending - v.uses)"
        " FROM (SELECT token, count(*) AS uses FROM unnest(%s) AS u (token) GROUP BY token) v WHERE r.token = v.token",
        (tokens,),
    )


def list_tokens(cur: Cursor, *, valid_at_ms: int | None = None, valid: bool = True) -> list[RegistrationToken]:
    """All tokens; with a time those that are `valid` then, or those that are not."""
    condition = "true" if valid_at_ms is None else f"({_USABLE}) = %(valid)s"
    cur.execute(
        f"SELECT {_COLUMNS} FROM registration_tokens WHERE {condition} ORDER BY token",
        {"now": valid_at_ms, "valid": valid},
    )
    return [RegistrationToken(*row) for row in cur]


def find_token(cur: Cursor, token: str) -> RegistrationToken | None:
    cur.execute(f"SELECT {_COLUMNS} FROM registration_tokens WHERE token = %s", (token,))
    row = cur.fetchone()
    return None if row is None else RegistrationToken(*row)


def add_token(cur: Cursor, token: str, uses_allowed: int | None, expires_ms: int | None) -> bool:
    """False if there is one of this name."""
    cur.execute(
        "INSERT INTO registration_tokens (token, uses_allowed, expires_ms) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (token, uses_allowed, expires_ms),
    )
    return cur.rowcount > 0


def put_limits(cur: Cursor, token: str, uses_allowed: int | None, expires_ms: int | None) -> None:
    cur.execute(
        "UPDATE registration_tokens SET uses_allowed = %s, expires_ms = %s WHERE token = %s",
        (uses_allowed, expires_ms, token),
    )


def delete_token(cur: Cursor, token: str) -> bool:
    cur.execute("DELETE FROM registration_tokens WHERE token = %s", (token,))
    return cur.rowcount > 0
