"""Addresses of users, the checks that they are theirs, and where they were published."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId
from storage.change import Insert

# Rows must be new: an address has one owner.
ADD = Insert(
    "threepids",
    {"medium": "text", "address": "text", "user_id": "text", "validated_ms": "bigint", "added_ms": "bigint"},
)


@frozen
class Address:
    medium: str
    address: str
    validated_ms: int
    added_ms: int


@frozen
class Check:
    """A check of an address. `validated_ms` is None until it was passed."""

    sid: str
    purpose: str
    medium: str
    address: str
    client_secret: str
    token_hash: bytes
    next_link: str | None
    send_attempt: int
    made_ms: int
    validated_ms: int | None = None


_CHECK = "sid, purpose, medium, address, client_secret, token_hash, next_link, send_attempt, made_ms, validated_ms"


def addresses_of(cur: Cursor, user_id: str) -> list[Address]:
    """The oldest first."""
    cur.execute(
        "SELECT medium, address, validated_ms, added_ms FROM threepids WHERE user_id = %s ORDER BY added_ms, address",
        (user_id,),
    )
    return [Address(*row) for row in cur]


def find_owner(cur: Cursor, medium: str, address: str) -> UserId | None:
    cur.execute("SELECT user_id FROM threepids WHERE medium = %s AND address = %s", (medium, address))
    row = cur.fetchone()
    return None if row is None else UserId(row[0])


def delete(cur: Cursor, user_id: str, medium: str, address: str) -> bool:
    """Was it there?"""
    cur.execute("DELETE FROM threepids WHERE user_id = %s AND medium = %s AND address = %s", (user_id, medium, address))
    return cur.rowcount > 0


def delete_all(cur: Cursor, user_id: str) -> None:
    cur.execute("DELETE FROM threepids WHERE user_id = %s", (user_id,))


def put_check(cur: Cursor, check: Check) -> None:
    """A new check, or an old one with another token."""
    cur.execute(
        f"INSERT INTO threepid_checks ({_CHECK}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (sid) DO UPDATE SET token_hash = excluded.token_hash, next_link = excluded.next_link,"
        " send_attempt = excluded.send_attempt, made_ms = excluded.made_ms",
        (
            *(check.sid, check.purpose, check.medium, check.address, check.client_secret, check.token_hash),
            *(check.next_link, check.send_attempt, check.made_ms, check.validated_ms),
        ),
    )


def find_check(cur: Cursor, sid: str) -> Check | None:
    cur.execute(f"SELECT {_CHECK} FROM threepid_checks WHERE sid = %s", (sid,))
    return _check(cur.fetchone())


def find_check_of_secret(cur: Cursor, client_secret: str, address: str, purpose: str, since_ms: int) -> Check | None:
    """One that was begun since then."""
    cur.execute(
        f"SELECT {_CHECK} FROM threepid_checks WHERE client_secret = %s AND address = %s AND purpose = %s"
        " AND made_ms > %s ORDER BY made_ms DESC LIMIT 1",
        (client_secret, address, purpose, since_ms),
    )
    return _check(cur.fetchone())


def _check(row: tuple[Any, ...] | None) -> Check | None:
    if row is None:
        return None
    check = Check(*row)
    return evolve(check, token_hash=bytes(check.token_hash))


def pass_check(cur: Cursor, sid: str, now_ms: int) -> None:
    """The first time counts."""
    cur.execute("UPDATE threepid_checks SET validated_ms = %s WHERE sid = %s AND validated_ms IS NULL", (now_ms, sid))


def delete_check(cur: Cursor, sid: str) -> None:
    """It was used."""
    cur.execute("DELETE FROM threepid_checks WHERE sid = %s", (sid,))


def trim_checks(cur: Cursor, before_ms: int, limit: int = 5_000) -> int:
    """Deletes checks that were begun before that time, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM threepid_checks WHERE sid IN (SELECT sid FROM threepid_checks WHERE made_ms < %s LIMIT %s)",
        (before_ms, limit),
    )
    return cur.rowcount


def add_bind(cur: Cursor, user_id: str, medium: str, address: str, id_server: str) -> None:
    cur.execute(
        "INSERT INTO threepid_binds (user_id, medium, address, id_server) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (user_id, medium, address, id_server),
    )


def binds_of(cur: Cursor, user_id: str) -> Sequence[tuple[str, str, str]]:
    """(medium, address, identity server)."""
    cur.execute("SELECT medium, address, id_server FROM threepid_binds WHERE user_id = %s", (user_id,))
    return cur.fetchall()


def delete_bind(cur: Cursor, user_id: str, medium: str, address: str, id_server: str) -> None:
    cur.execute(
        "DELETE FROM threepid_binds WHERE user_id = %s AND medium = %s AND address = %s AND id_server = %s",
        (user_id, medium, address, id_server),
    )
