"""Accounts: who exists on this server, and what they may do."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId
from storage.change import Custom, Insert, Row

ADD = Insert(
    "users",
    {
        "user_id": "text",
        "password_hash": "text",
        "created_ms": "bigint",
        "is_admin": "bool",
        "is_guest": "bool",
        "appservice_id": "text",
        "user_type": "text",
    },
)
SET_PASSWORD = Custom(
    {"user_id": "text", "password_hash": "text"},
    "UPDATE users u SET password_hash = v.password_hash FROM {v} WHERE u.user_id = v.user_id",
)
# Null leaves a flag as it is.
SET_FLAGS = Custom(
    {
        "user_id": "text",
        "is_admin": "bool",
        "is_locked": "bool",
        "is_suspended": "bool",
        "is_shadow_banned": "bool",
        "user_type": "text",
    },
    "UPDATE users u SET is_admin = coalesce(v.is_admin, u.is_admin), is_locked = coalesce(v.is_locked, u.is_locked),"
    " is_suspended = coalesce(v.is_suspended, u.is_suspended),"
    " is_shadow_banned = coalesce(v.is_shadow_banned, u.is_shadow_banned),"
    " user_type = coalesce(v.user_type, u.user_type) FROM {v} WHERE u.user_id = v.user_id",
)
DEACTIVATE = Custom(
    {"user_id": "text", "erase": "bool"},
    "UPDATE users u SET is_deactivated = true, password_hash = NULL, is_admin = false,"
    " is_erased = u.is_erased OR v.erase FROM {v} WHERE u.user_id = v.user_id",
)
REACTIVATE = Custom(
    {"user_id": "text", "password_hash": "text"},
    "UPDATE users u SET is_deactivated = false, is_erased = false, password_hash = v.password_hash"
    " FROM {v} WHERE u.user_id = v.user_id",
)
# A guest who registers keeps the user id.
UPGRADE_GUEST = Custom(
    {"user_id": "text", "password_hash": "text"},
    "UPDATE users u SET is_guest = false, password_hash = v.password_hash FROM {v}"
    " WHERE u.user_id = v.user_id AND u.is_guest",
)
ADD_LEAVING = Insert("users_leaving", {"user_id": "text"}, key=("user_id",), on_conflict="ignore")


@frozen
class User:
    user_id: UserId
    password_hash: str | None
    created_ms: int
    is_admin: bool
    is_guest: bool
    is_deactivated: bool
    is_erased: bool
    is_locked: bool
    is_suspended: bool
    is_shadow_banned: bool
    appservice_id: str | None
    user_type: str | None


_COLUMNS = (
    "user_id, password_hash, created_ms, is_admin, is_guest, is_deactivated, is_erased, is_locked, is_suspended,"
    " is_shadow_banned, appservice_id, user_type"
)


def find_users(cur: Cursor, user_ids: Sequence[str]) -> dict[str, User]:
    """Those who exist, by id."""
    cur.execute(f"SELECT {_COLUMNS} FROM users WHERE user_id = ANY(%s)", (list(user_ids),))
    return {row[0]: User(UserId(row[0]), *row[1:]) for row in cur}


def find_user(cur: Cursor, user_id: str) -> User | None:
    return find_users(cur, [user_id]).get(user_id)


def next_number(cur: Cursor) -> int:
    """A localpart for a guest, or an account that names none. One that came from elsewhere may be taken."""
    cur.execute("SELECT nextval('numbered_localparts')")
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def list_leaving(cur: Cursor) -> list[UserId]:
    """Deactivated users whose rooms are not all left yet."""
    cur.execute("SELECT user_id FROM users_leaving ORDER BY user_id")
    return [UserId(user_id) for (user_id,) in cur]


def have_left(cur: Cursor, user_id: str) -> None:
    cur.execute("DELETE FROM users_leaving WHERE user_id = %s", (user_id,))


def has_users(cur: Cursor) -> bool:
    """Has anybody but application services an account?"""
    cur.execute("SELECT EXISTS (SELECT 1 FROM users WHERE appservice_id IS NULL AND NOT is_guest)")
    row = cur.fetchone()
    assert row is not None
    return bool(row[0])


def is_only_user(cur: Cursor, user_id: str) -> bool:
    """Has nobody else an account, of those whom `has_users` counts?"""
    cur.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM users WHERE appservice_id IS NULL AND NOT is_guest AND user_id <> %s)",
        (user_id,),
    )
    row = cur.fetchone()
    assert row is not None
    return bool(row[0])


def find_setup_token(cur: Cursor) -> str | None:
    cur.execute("SELECT token FROM setup_token")
    row = cur.fetchone()
    return None if row is None else str(row[0])


def put_setup_token(cur: Cursor, token: str) -> str:
    """The token that stands: of several processes that start at once, the first one's."""
    cur.execute("INSERT INTO setup_token (token) VALUES (%s) ON CONFLICT (one) DO NOTHING", (token,))
    found = find_setup_token(cur)
    assert found is not None
    return found


def add_first(cur: Cursor, token: str, user: Row) -> bool:
    """Makes the first account (a row for ADD), if it has the setup token. False if not, or if it is not the first.

    The committer's turn: nobody else makes an account in between.
    """
    if find_setup_token(cur) != token or has_users(cur):
        return False
    cur.execute("DELETE FROM setup_token")
    ADD.execute(cur, [user])
    return True
