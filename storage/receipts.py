"""Receipts: up to where each user has read each room, publicly, privately, and by thread.

Source: client-server API, "Receipts".
"""

from typing import Any

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import Insert
from storage.prepared import Often

PUT = Insert(
    "receipts",
    {
        "room_nid": "int",
        "user_id": "text",
        "receipt_type": "text",
        "thread_id": "text",
        "event_id": "text",
        "event_position": "bigint",
        "ts": "bigint",
        "position": "bigint",
    },
    key=("room_nid", "user_id", "receipt_type", "thread_id"),
    on_conflict="update",
)

# (user id, {"event_id", "type", "thread_id" or None, "ts"}), the shape of a RECEIPT entry's body
Told = tuple[str, dict[str, Any]]
_UNTHREADED = ""


@frozen
class ReadUpto:
    """One of a user's receipts. `thread_id` is None of an unthreaded one."""

    receipt_type: str
    thread_id: str | None
    event_id: EventId
    event_position: int


def thread_column(thread_id: str | None) -> str:
    return thread_id or _UNTHREADED


def body(event_id: str, receipt_type: str, thread_id: str | None, ts: int) -> dict[str, Any]:
    """What a RECEIPT entry says."""
    return {"event_id": event_id, "type": receipt_type, "thread_id": thread_id, "ts": ts}


_COLUMNS = "room_nid, user_id, event_id, receipt_type, nullif(thread_id, ''), ts"


def changed_since(cur: Cursor, room_nids: list[int], since: int, upto: int) -> list[tuple[int, str, dict[str, Any]]]:
    """The receipts of the rooms that changed in (since, upto]: (room, user, body)."""
    cur.execute(
        Often(f"SELECT {_COLUMNS} FROM receipts WHERE room_nid = ANY(%s) AND position > %s AND position <= %s"),
        (room_nids, since, upto),
    )
    return [(room_nid, user_id, body(*rest)) for room_nid, user_id, *rest in cur]


def all_of_rooms(cur: Cursor, room_nids: list[int]) -> dict[int, list[Told]]:
    """All receipts of the rooms that have any."""
    cur.execute(Often(f"SELECT {_COLUMNS} FROM receipts WHERE room_nid = ANY(%s)"), (room_nids,))
    found: dict[int, list[Told]] = {}
    for room_nid, user_id, *rest in cur:
        found.setdefault(room_nid, []).append((user_id, body(*rest)))
    return found


def reached_by(cur: Cursor, room_nid: int, user_ids: list[str]) -> dict[tuple[str, str | None], int]:
    """Up to which positions these users have publicly read the room, by user and thread."""
    cur.execute(
        Often(
            "SELECT user_id, nullif(thread_id, ''), event_position FROM receipts"
            " WHERE room_nid = %s AND user_id = ANY(%s) AND receipt_type = 'm.read'"
        ),
        (room_nid, user_ids),
    )
    return {(user_id, thread_id): position for user_id, thread_id, position in cur}


def read_upto(cur: Cursor, user_id: str, room_nids: list[int]) -> dict[int, list[ReadUpto]]:
    """A user's own receipts of the rooms."""
    cur.execute(
        Often(
            "SELECT room_nid, receipt_type, nullif(thread_id, ''), event_id, event_position FROM receipts"
            " WHERE user_id = %s AND room_nid = ANY(%s)"
        ),
        (user_id, room_nids),
    )
    found: dict[int, list[ReadUpto]] = {}
    for room_nid, receipt_type, thread_id, event_id, event_position in cur:
        found.setdefault(room_nid, []).append(ReadUpto(receipt_type, thread_id, EventId(event_id), event_position))
    return found
