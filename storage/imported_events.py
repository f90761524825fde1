"""Events that an application service has imported under ids of its own choice: see services/rooms/history_import."""

from collections.abc import Collection, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import Insert
from storage.events import DUMMY

CLAIM = Insert(
    "imported_events",
    {"room_nid": "int", "claimed_id": "text", "event_id": "text", "appservice_id": "text", "position": "bigint"},
    key=("room_nid", "claimed_id"),
    on_conflict="update",
)
# A bridge that refers to what it has imported does so soon: edits, reactions and replies to old messages are rare, and
# repeated batches are of the same days. Afterwards its ids lead nowhere, and the events stay as they are.
KEEP_MS = 2 * 365 * 24 * 3600 * 1000
BATCH = 5_000


@frozen
class Imported:
    """`position`: of history, where the event lies or is to lie."""

    event_id: EventId
    position: int | None


def find(cur: Cursor, room_nid: int, claimed_ids: Collection[str]) -> dict[str, Imported]:
    """What became of the ids that services have chosen in a room."""
    cur.execute(
        "SELECT claimed_id, event_id, position FROM imported_events WHERE room_nid = %s AND claimed_id = ANY(%s)",
        (room_nid, list(claimed_ids)),
    )
    return {claimed: Imported(EventId(event_id), position) for claimed, event_id, position in cur}


def claimed_by(cur: Cursor, appservice_id: str, event_ids: Sequence[str]) -> dict[str, str]:
    """By which ids the service knows these events, of those that it has imported."""
    cur.execute(
        "SELECT event_id, claimed_id FROM imported_events WHERE event_id = ANY(%s) AND appservice_id = %s",
        (list(event_ids), appservice_id),
    )
    return dict(cur.fetchall())


def first_message(cur: Cursor, room_nid: int) -> int | None:
    """The number of the first event of a room that is no state, but for imported history."""
    cur.execute(
        "SELECT event_nid FROM events WHERE room_nid = %s AND position > 0 AND flags = 0 AND state_key_nid IS NULL"
        " AND type <> %s ORDER BY depth, position LIMIT 1",
        (room_nid, DUMMY),
    )
    row = cur.fetchone()
    return None if row is None else int(row[0])


def lowest_position(cur: Cursor, room_nid: int) -> int:
    """The lowest position of a room's history, 0 if none was fetched or imported; those kept for events count."""
    cur.execute(
        "SELECT least(0, (SELECT min(position) FROM events WHERE room_nid = %s),"
        " (SELECT min(position) FROM imported_events WHERE room_nid = %s))",
        (room_nid, room_nid),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def trim(cur: Cursor, now_ms: int, limit: int = BATCH) -> int:
    """Forgets ids that were chosen long ago; gives how many. One statement."""
    cur.execute(
        "DELETE FROM imported_events WHERE ctid IN (SELECT ctid FROM imported_events WHERE claimed_ms < %s LIMIT %s)",
        (now_ms - KEEP_MS, limit),
    )
    return cur.rowcount
