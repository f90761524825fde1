"""The edges of what we have of a room: events that are named but not here, and gaps in its timeline.

The forward extremities are in the room's row, and move with its head.
"""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import At, Change, Custom, Insert

_ADD_MISSING = Insert(
    "missing_prev_events",
    {"room_nid": "int", "event_id": "text", "referrer_nid": "bigint"},
    key=("room_nid", "event_id", "referrer_nid"),
    on_conflict="ignore",
)
# The event has come: whoever named it refers to it by its number now.
_FOUND = Custom(
    {"room_nid": "int", "event_id": "text", "event_nid": "bigint"},
    "WITH gone AS (DELETE FROM missing_prev_events m USING {v} WHERE m.room_nid = v.room_nid"
    " AND m.event_id = v.event_id RETURNING m.referrer_nid, v.event_nid),"
    " named AS (SELECT referrer_nid, array_agg(event_nid) AS nids FROM gone GROUP BY 1)"
    " UPDATE events e SET prev_nids = e.prev_nids || named.nids FROM named WHERE e.event_nid = named.referrer_nid",
    one_by_one=False,
)
_ADD_GAP = Insert(
    "timeline_gaps", {"room_nid": "int", "position": "bigint"}, key=("room_nid", "position"), on_conflict="ignore"
)


def add_missing(change: Change, room_nid: int, event_id: EventId, referrer_nid: int) -> None:
    """The referrer names an event that is not here, or of which nobody has told the place in the graph."""
    change.put(_ADD_MISSING, (room_nid, event_id, referrer_nid))


def found(change: Change, room_nid: int, event_id: EventId, event_nid: int) -> None:
    """The event is no longer missing to anyone."""
    change.put(_FOUND, (room_nid, event_id, event_nid))


def add_gap(change: Change, room_nid: int, position: At) -> None:
    """Of what came before the event at this position we lack a part."""
    change.put(_ADD_GAP, (room_nid, position))


@frozen
class Missing:
    """An event that is named by one at this depth, but not here."""

    event_id: EventId
    depth: int


def missing_in(cur: Cursor, room_nid: int, limit: int, above: int, upto: int | None) -> list[Missing]:
    """The events that a room lacks, named by events whose depth is in (above, upto], the deepest first."""
    cur.execute(
        "SELECT m.event_id, max(e.depth) FROM missing_prev_events m JOIN events e ON e.event_nid = m.referrer_nid"
        " WHERE m.room_nid = %s AND e.flags = 0 AND e.position IS NOT NULL AND e.depth > %s"
        " AND (%s::bigint IS NULL OR e.depth <= %s) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s",
        (room_nid, above, upto, upto, limit),
    )
    return [Missing(EventId(event_id), depth) for event_id, depth in cur]


def referrers_of(cur: Cursor, room_nid: int, event_id: EventId) -> list[int]:
    """The numbers of a few events that name one which is not here."""
    cur.execute(
        "SELECT referrer_nid FROM missing_prev_events WHERE room_nid = %s AND event_id = %s LIMIT 5",
        (room_nid, event_id),
    )
    return [nid for (nid,) in cur]


def is_seen_named(cur: Cursor, room_nid: int, event_id: EventId) -> bool:
    """Does an event that the room's users see name this one, which was not here?"""
    cur.execute(
        "SELECT 1 FROM missing_prev_events m JOIN events e ON e.event_nid = m.referrer_nid"
        " WHERE m.room_nid = %s AND m.event_id = %s AND e.flags = 0 LIMIT 1",
        (room_nid, event_id),
    )
    return cur.fetchone() is not None


def unseen_named(cur: Cursor, room_nid: int, limit: int, above: int, looked_at: int) -> list[int]:
    """The numbers of events that the room's events name and its users do not see.

    Those of which nobody has told the place in the graph; and those that were rejected or soft-failed, of the ones that
    are named just above a depth, by so many.
    """
    cur.execute(
        "(SELECT o.event_nid FROM missing_prev_events m JOIN events e ON e.event_nid = m.referrer_nid"
        " JOIN events o ON o.event_id = m.event_id WHERE m.room_nid = %(room)s AND e.flags = 0"
        " AND e.position IS NOT NULL ORDER BY e.depth DESC LIMIT %(limit)s)"
        " UNION ALL (SELECT h.event_nid FROM (SELECT prev_nids FROM events WHERE room_nid = %(room)s"
        " AND position IS NOT NULL AND depth > %(above)s ORDER BY depth, position LIMIT %(looked_at)s) e"
        " JOIN events h ON h.event_nid = ANY(e.prev_nids) WHERE h.flags <> 0 LIMIT %(limit)s)",
        {"room": room_nid, "limit": limit, "above": above, "looked_at": looked_at},
    )
    return [nid for (nid,) in cur]
