"""Server-side key backups: versions, and in each the encrypted room keys by room and session.

Every change moves the version's etag and count, in the same transaction. No entry of the stream tells of it: clients
ask. Each function here needs a transaction, but for the `find_` functions.

Source: client-server API, "Server-side key backups".
"""

from collections.abc import Iterable, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor


@frozen
class Backup:
    """A version of a user's backup. `auth_data` is JSON text."""

    version: int
    algorithm: str
    auth_data: str
    etag: int
    count: int
    deleted: bool


@frozen
class RoomKey:
    """A session's encrypted key; `text` is the whole KeyBackupData as JSON."""

    room_id: str
    session_id: str
    is_verified: bool
    first_message_index: int
    forwarded_count: int
    text: str


_COLUMNS = "version, algorithm, auth_data, etag, count, deleted"


def find_backup(cur: Cursor, user_id: str, version: int) -> Backup | None:
    """The version, deleted ones too."""
    cur.execute(f"SELECT {_COLUMNS} FROM key_backups WHERE user_id = %s AND version = %s", (user_id, version))
    row = cur.fetchone()
    return None if row is None else Backup(*row)


def find_current_backup(cur: Cursor, user_id: str) -> Backup | None:
    """The newest version that was not deleted."""
    cur.execute(
        f"SELECT {_COLUMNS} FROM key_backups WHERE user_id = %s AND NOT deleted ORDER BY version DESC LIMIT 1",
        (user_id,),
    )
    row = cur.fetchone()
    return None if row is None else Backup(*row)


def add_backup(cur: Cursor, user_id: str, algorithm: str, auth_data: str) -> int:
    """Makes a new version, which is the current one from now on; gives its number."""
    _lock(cur, user_id)
    cur.execute(
        "INSERT INTO key_backups (user_id, version, algorithm, auth_data)"
        " SELECT %(user)s, coalesce(max(version), 0) + 1, %(algorithm)s, %(auth_data)s"
        " FROM key_backups WHERE user_id = %(user)s RETURNING version",
        {"user": user_id, "algorithm": algorithm, "auth_data": auth_data},
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def update_auth_data(cur: Cursor, user_id: str, version: int, auth_data: str) -> None:
    cur.execute(
        "UPDATE key_backups SET auth_data = %s WHERE user_id = %s AND version = %s AND NOT deleted",
        (auth_data, user_id, version),
    )


def delete_backup(cur: Cursor, user_id: str, version: int) -> bool:
    """Deletes a version and its keys. False if there never was such a version."""
    _lock(cur, user_id)
    cur.execute(
        "UPDATE key_backups SET deleted = true, count = 0, auth_data = '{}' WHERE user_id = %s AND version = %s",
        (user_id, version),
    )
    if not cur.rowcount:
        return False
    cur.execute("DELETE FROM key_backup_sessions WHERE user_id = %s AND version = %s", (user_id, version))
    return True


_CHOSEN = (
    "user_id = %(user)s AND version = %(version)s AND (%(room)s::text IS NULL OR room_id = %(room)s)"
    " AND (%(session)s::text IS NULL OR session_id = %(session)s)"
)


def delete_all_backups(cur: Cursor, user_id: str) -> None:
    """For an account that is closed for good."""
    _lock(cur, user_id)
    cur.execute("DELETE FROM key_backup_sessions WHERE user_id = %s", (user_id,))
    cur.execute("DELETE FROM key_backups WHERE user_id = %s", (user_id,))


# Of two keys of a session the better one is kept: the rules stand in the order of the columns.
_PUT_KEYS = """
    INSERT INTO key_backup_sessions AS t
        (user_id, version, room_id, session_id, is_verified, first_message_index, forwarded_count, json)
    SELECT %s, %s, v.* FROM unnest(%s::text[], %s::text[], %s::bool[], %s::bigint[], %s::bigint[], %s::text[])
        AS v (room_id, session_id, is_verified, first_message_index, forwarded_count, json)
    ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
        is_verified = excluded.is_verified, first_message_index = excluded.first_message_index,
        forwarded_count = excluded.forwarded_count, json = excluded.json
    WHERE (excluded.is_verified, -excluded.first_message_index, -excluded.forwarded_count)
        > (t.is_verified, -t.first_message_index, -t.forwarded_count)
    RETURNING xmax = 0
"""


def put_keys(cur: Cursor, user_id: str, version: int, keys: Sequence[RoomKey]) -> tuple[Backup | None, bool]:
    """Stores keys where there is none or a worse one, if `version` is the current one.

    Gives the current version, with etag and count as they are then, and whether that is `version`. Each session may
    stand only once in `keys`.
    """
    _lock(cur, user_id)
    current = find_current_backup(cur, user_id)
    if current is None or current.version != version:
        return current, False
    if keys:
        cur.execute(_PUT_KEYS, (user_id, version, *_arrays(keys)))
        is_new = [new for (new,) in cur]
        if is_new:
            current = _changed(cur, user_id, version, sum(is_new))
    return current, True


def _arrays(keys: Sequence[RoomKey]) -> Iterable[list[object]]:
    rows = [
        (key.room_id, key.session_id, key.is_verified, key.first_message_index, key.forwarded_count, key.text)
        for key in keys
    ]
    return (list(column) for column in zip(*rows, strict=True))


def delete_keys(cur: Cursor, user_id: str, version: int, room_id: str | None, session_id: str | None) -> Backup | None:
    """Deletes all keys, those of a room, or one; gives the version as it is then, None if there is no such version."""
    _lock(cur, user_id)
    backup = find_backup(cur, user_id, version)
    if backup is None or backup.deleted:
        return None
    cur.execute(
        f"DELETE FROM key_backup_sessions WHERE {_CHOSEN}",
        {"user": user_id, "version": version, "room": room_id, "session": session_id},
    )
    return _changed(cur, user_id, version, -cur.rowcount) if cur.rowcount else backup


def find_sessions(cur: Cursor, user_id: str, version: int, room_id: str | None = None) -> dict[str, str]:
    """The keys of all rooms, or of one: a JSON object by session for each room that has any.

    Put together by PostgreSQL: a backup can have 100,000 keys.
    """
    cur.execute(
        "SELECT room_id, '{' || string_agg(to_json(session_id)::text || ':' || json, ',') || '}'"
        f" FROM key_backup_sessions WHERE {_CHOSEN} GROUP BY room_id",
        {"user": user_id, "version": version, "room": room_id, "session": None},
    )
    return {room: sessions for room, sessions in cur}


def find_key(cur: Cursor, user_id: str, version: int, room_id: str, session_id: str) -> str | None:
    """The JSON of one key."""
    cur.execute(
        f"SELECT json FROM key_backup_sessions WHERE {_CHOSEN}",
        {"user": user_id, "version": version, "room": room_id, "session": session_id},
    )
    row = cur.fetchone()
    return None if row is None else row[0]


def _lock(cur: Cursor, user_id: str) -> None:
    """One change of a user's backups at a time, in all processes; also while there is no row to lock yet."""
    cur.execute("SELECT pg_advisory_xact_lock(hashtextextended('key_backups ' || %s, 0))", (user_id,))


def _changed(cur: Cursor, user_id: str, version: int, more: int) -> Backup:
    cur.execute(
        "UPDATE key_backups SET etag = etag + 1, count = count + %s WHERE user_id = %s AND version = %s"
        f" RETURNING {_COLUMNS}",
        (more, user_id, version),
    )
    row = cur.fetchone()
    assert row is not None
    return Backup(*row)
