"""Which events of rooms came after what a user has read."""

from collections.abc import Mapping, Sequence

from psycopg2.extensions import cursor as Cursor

from storage.prepared import Often


def find_after(cur: Cursor, user_id: str, positions: Mapping[int, int], upto: int, limit: int) -> dict[int, list[int]]:
    """The numbers of others' events in each room in (its position, upto], the newest `limit`, oldest first."""
    cur.execute(
        Often(
            "SELECT v.room_nid, e.event_nid FROM unnest(%s::int[], %s::bigint[]) AS v (room_nid, position)"
            " CROSS JOIN LATERAL (SELECT event_nid, position FROM events WHERE room_nid = v.room_nid"
            " AND position > v.position AND position <= %s AND flags = 0 AND sender <> %s"
            " ORDER BY position DESC LIMIT %s) e ORDER BY e.position"
        ),
        (list(positions), list(positions.values()), upto, user_id, limit),
    )
    found: dict[int, list[int]] = {}
    for room_nid, nid in cur:
        found.setdefault(room_nid, []).append(nid)
    return found


def find_before(cur: Cursor, user_id: str, room_nids: Sequence[int], before: int, limit: int) -> list[tuple[int, int]]:
    """Others' events in the rooms before a position: the newest `limit`, newest first, as (position, number)."""
    cur.execute(
        "SELECT e.position, e.event_nid FROM unnest(%s::int[]) AS v (room_nid) CROSS JOIN LATERAL"
        " (SELECT event_nid, position FROM events WHERE room_nid = v.room_nid AND position > 0 AND position < %s"
        " AND flags = 0 AND sender <> %s AND redacted_by IS NULL ORDER BY position DESC LIMIT %s) e"
        " ORDER BY e.position DESC LIMIT %s",
        (list(room_nids), before, user_id, limit, limit),
    )
    return cur.fetchall()
