"""The newest events of many rooms at once, as numbers: those that are in memory need not be read."""

from psycopg2.extensions import cursor as Cursor


def newest_in_rooms(cur: Cursor, room_nids: list[int], after: int, upto: int, limit: int) -> dict[int, list[int]]:
    """The newest events that clients may see of each room in (after, upto], at most `limit` of each, oldest first."""
    cur.execute(
        "SELECT r.room_nid, e.event_nid FROM unnest(%s::int[]) AS r (room_nid) CROSS JOIN LATERAL"
        " (SELECT event_nid, position FROM events WHERE room_nid = r.room_nid AND position > %s AND position <= %s"
        " AND flags = 0 ORDER BY position DESC LIMIT %s) e ORDER BY e.position",
        (room_nids, after, upto, limit),
    )
    found: dict[int, list[int]] = {room_nid: [] for room_nid in room_nids}
    for room_nid, nid in cur:
        found[room_nid].append(nid)
    return found
