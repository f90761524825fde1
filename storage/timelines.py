"""The newest events of many rooms at once, as numbers: those that are in memory need not be read."""

from collections.abc import Collection

from psycopg2.extensions import cursor as Cursor

from storage.prepared import Often


def newest_in_rooms(cur: Cursor, room_nids: list[int], after: int, upto: int, limit: int) -> dict[int, list[int]]:
    """The newest events that clients may see of each room in (after, upto], at most `limit` of each, oldest first.

    Nothing from before a gap in the room's timeline.
    """
    cur.execute(
        Often(
            "SELECT r.room_nid, e.event_nid FROM unnest(%s::int[]) AS r (room_nid) CROSS JOIN LATERAL"
            " (SELECT event_nid, position FROM events WHERE room_nid = r.room_nid AND position > %s AND position <= %s"
            " AND flags = 0 AND position >= coalesce((SELECT max(g.position) FROM timeline_gaps g"
            " WHERE g.room_nid = r.room_nid AND g.position <= %s), 0)"
            " ORDER BY position DESC LIMIT %s) e ORDER BY e.position"
        ),
        (room_nids, after, upto, upto, limit),
    )
    found: dict[int, list[int]] = {room_nid: [] for room_nid in room_nids}
    for room_nid, nid in cur:
        found[room_nid].append(nid)
    return found


def broken_in(cur: Cursor, room_nids: Collection[int], after: int, upto: int) -> tuple[set[int], set[int]]:
    """The rooms whose timeline has a gap in (after, upto], and those whose state changed there without an event."""
    cur.execute(
        Often(
            "SELECT DISTINCT room_nid, true FROM timeline_gaps WHERE room_nid = ANY(%s) AND position > %s"
            " AND position <= %s UNION SELECT room_nid, false FROM room_state s WHERE room_nid = ANY(%s) AND since > %s"
            " AND since <= %s AND NOT EXISTS (SELECT 1 FROM events e WHERE e.position = s.since)"
        ),
        (list(room_nids), after, upto) * 2,
    )
    found = cur.fetchall()
    return {nid for nid, is_gap in found if is_gap}, {nid for nid, is_gap in found if not is_gap}
