"""Access tokens, refresh tokens and login tokens. What is stored and looked up are their SHA-256 hashes."""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import DeviceId, UserId
from storage.change import Custom, Delete, Insert
from storage.prepared import Often

ADD_ACCESS = Insert(
    "access_tokens",
    {
        "token_hash": "bytea",
        "user_id": "text",
        "device_id": "text",
        "created_ms": "bigint",
        "expires_ms": "bigint",
        "refresh_hash": "bytea",
        "used": "bool",
        "validated_ms": "bigint",
        "made_by": "text",
    },
)
ADD_REFRESH = Insert(
    "refresh_tokens",
    {"token_hash": "bytea", "user_id": "text", "device_id": "text", "expires_ms": "bigint", "ends_ms": "bigint"},
)
DELETE_ACCESS_OF_DEVICE = Delete("access_tokens", {"user_id": "text", "device_id": "text"})
DELETE_REFRESH_OF_DEVICE = Delete("refresh_tokens", {"user_id": "text", "device_id": "text"})
DELETE_ACCESS = Delete("access_tokens", {"token_id": "bigint"})
DELETE_ACCESS_OF_USER = Delete("access_tokens", {"user_id": "text"})
DELETE_REFRESH_OF_USER = Delete("refresh_tokens", {"user_id": "text"})
# Tokens that belong to no device, but the one that asks (null: none asks).
DELETE_DEVICELESS = Custom(
    {"user_id": "text", "but": "bigint"},
    "DELETE FROM access_tokens t USING {v} WHERE t.user_id = v.user_id AND t.device_id IS NULL"
    " AND t.token_id IS DISTINCT FROM v.but",
)
DELETE_LOGIN_TOKENS = Delete("login_tokens", {"user_id": "text"})


@frozen
class AccessToken:
    """A token with what its user may do."""

    token_id: int
    user_id: UserId
    device_id: DeviceId | None
    expires_ms: int | None
    used: bool
    validated_ms: int | None
    is_admin: bool
    is_guest: bool
    is_locked: bool


def find_access_token(cur: Cursor, token_hash: bytes) -> AccessToken | None:
    """The token, unless its user is deactivated."""
    cur.execute(
        Often(
            "SELECT t.token_id, t.user_id, t.device_id, t.expires_ms, t.used, t.validated_ms,"
            " u.is_admin, u.is_guest, u.is_locked"
            " FROM access_tokens t JOIN users u USING (user_id) WHERE t.token_hash = %s AND NOT u.is_deactivated"
        ),
        (token_hash,),
    )
    row = cur.fetchone()
    if row is None:
        return None
    token_id, user_id, device_id, *rest = row
    return AccessToken(token_id, UserId(user_id), None if device_id is None else DeviceId(device_id), *rest)


def mark_used(cur: Cursor, token_id: int) -> None:
    """From now on the refresh that gave this token cannot be repeated."""
    cur.execute("UPDATE access_tokens SET used = true WHERE token_id = %s", (token_id,))


def mark_validated(cur: Cursor, token_id: int, now_ms: int) -> None:
    """The user has just proved who they are."""
    cur.execute("UPDATE access_tokens SET validated_ms = %s WHERE token_id = %s", (now_ms, token_id))


@frozen
class RefreshToken:
    """`is_spent`: what it was exchanged for has been used, so that it counts no more."""

    token_hash: bytes
    user_id: UserId
    device_id: DeviceId
    next_hash: bytes | None
    expires_ms: int | None
    ends_ms: int | None
    is_spent: bool


def find_refresh_token(cur: Cursor, token_hash: bytes) -> RefreshToken | None:
    cur.execute(
        "SELECT r.user_id, r.device_id, r.next_hash, r.expires_ms, r.ends_ms, EXISTS ("
        "  SELECT 1 FROM refresh_tokens n LEFT JOIN access_tokens a ON a.refresh_hash = n.token_hash"
        "  WHERE n.token_hash = r.next_hash AND (n.next_hash IS NOT NULL OR a.used))"
        " FROM refresh_tokens r JOIN users u USING (user_id) WHERE r.token_hash = %s AND NOT u.is_deactivated",
        (token_hash,),
    )
    row = cur.fetchone()
    if row is None:
        return None
    user_id, device_id, next_hash, expires_ms, ends_ms, is_spent = row
    return RefreshToken(
        token_hash,
        UserId(user_id),
        DeviceId(device_id),
        None if next_hash is None else bytes(next_hash),
        expires_ms,
        ends_ms,
        is_spent,
    )


@frozen
class NewTokens:
    """What a refresh token is exchanged for."""

    access_hash: bytes
    refresh_hash: bytes
    now_ms: int
    expires_ms: int | None
    refresh_expires_ms: int | None


def exchange(cur: Cursor, token_hash: bytes, new: NewTokens) -> bool:
    """Gives a session new tokens. False if the refresh token has been spent or revoked meanwhile.

    The token stays good until the new ones are used, so that a client that never received them can ask again: what
    an earlier exchange of it gave is then dropped. What came before it is dropped too.
    """
    cur.execute("SELECT 1 FROM refresh_tokens WHERE token_hash = %s FOR UPDATE", (token_hash,))
    old = find_refresh_token(cur, token_hash)
    if old is None or old.is_spent:
        return False
    dropped = "(SELECT token_hash FROM refresh_tokens WHERE token_hash = %(next)s OR next_hash = %(old)s)"
    parameters = {"old": token_hash, "next": old.next_hash}
    cur.execute(
        "SELECT validated_ms, made_by FROM access_tokens WHERE refresh_hash = %s ORDER BY token_id LIMIT 1",
        (token_hash,),
    )
    validated_ms, made_by = cur.fetchone() or (None, None)
    cur.execute(f"DELETE FROM access_tokens WHERE refresh_hash IN {dropped}", parameters)
    cur.execute(f"DELETE FROM refresh_tokens WHERE token_hash IN {dropped}", parameters)
    cur.execute(
        "UPDATE refresh_tokens SET next_hash = %s WHERE token_hash = %s;"
        " INSERT INTO refresh_tokens (token_hash, user_id, device_id, expires_ms, ends_ms) VALUES (%s, %s, %s, %s, %s);"
        " INSERT INTO access_tokens (token_hash, user_id, device_id, created_ms, expires_ms, refresh_hash, used,"
        " validated_ms, made_by) VALUES (%s, %s, %s, %s, %s, %s, false, %s, %s)",
        (
            *(new.refresh_hash, token_hash),
            *(new.refresh_hash, old.user_id, old.device_id, new.refresh_expires_ms, old.ends_ms),
            *(new.access_hash, old.user_id, old.device_id, new.now_ms, new.expires_ms, new.refresh_hash),
            *(validated_ms, made_by),
        ),
    )
    return True


def add_login_token(cur: Cursor, token_hash: bytes, user_id: str, expires_ms: int) -> None:
    cur.execute(
        "INSERT INTO login_tokens (token_hash, user_id, expires_ms) VALUES (%s, %s, %s)",
        (token_hash, user_id, expires_ms),
    )


def take_login_token(cur: Cursor, token_hash: bytes, now_ms: int) -> UserId | None:
    """Whom the token logs in. It is gone after that."""
    cur.execute("DELETE FROM login_tokens WHERE token_hash = %s RETURNING user_id, expires_ms", (token_hash,))
    row = cur.fetchone()
    return None if row is None or row[1] < now_ms else UserId(row[0])


def trim_login_tokens(cur: Cursor, now_ms: int) -> None:
    cur.execute("DELETE FROM login_tokens WHERE expires_ms < %s", (now_ms,))
