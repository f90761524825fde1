"""What a destination that was away has missed, found in the tables of what happened meanwhile.

`after` is the position up to which it was told everything, `upto` how far to look. Events are ours to send if their
sender is of this server, which was in the room, or this server had to pass them on; and the destination was there too.
What it made itself it has already; an invite that this server made in the name of a user of its it has not.
"""

from collections.abc import Sequence

import orjson
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId, RoomId
from storage.federation_queue import QueuedEdu
from storage.receipts import body

# How far back an event of ours is looked for in a room where others have spoken since: what they said refers to it.
_LOOK_BACK = 1_000

# Rooms in which something has happened while the destination was there.
_ROOMS = (
    "SELECT s.room_nid, greatest(%(after)s, s.since) AS low, least(%(upto)s, coalesce(s.until, %(upto)s)) AS high"
    " FROM room_servers s JOIN rooms r USING (room_nid) WHERE s.server = %(to)s AND r.head > %(after)s"
    " AND (s.until IS NULL OR s.until > %(after)s)"
)
# Who comes or goes by our help does so in their own name: of their servers' events only those about others are news.
_NEWS = (
    " (server_of(e.sender) <> %(to)s OR EXISTS (SELECT FROM state_keys k"
    " WHERE k.state_key_nid = e.state_key_nid AND k.state_key <> e.sender))"
)
_OURS = (
    " e.flags = 0 AND (server_of(e.sender) = ANY(%(ours)s)"
    " AND EXISTS (SELECT FROM room_servers o WHERE o.room_nid = e.room_nid AND o.server = server_of(e.sender)"
    " AND o.since < e.position AND (o.until IS NULL OR o.until >= e.position))"
    " OR EXISTS (SELECT FROM federation_passed_on p WHERE p.room_nid = e.room_nid AND p.position = e.position)"
    f" AND {_NEWS})"
)
_ASIDE = (
    "SELECT a.position, e.event_nid FROM federation_aside a JOIN events e USING (position)"
    " WHERE a.destination = %(to)s AND a.position > %(after)s AND a.position <= %(upto)s"
)


def all_events(
    cur: Cursor, destination: str, ours: Sequence[str], after: int, upto: int, limit: int
) -> list[tuple[int, int]]:
    """All events that it has missed, in order: (position, number)."""
    cur.execute(
        f"WITH mine AS ({_ROOMS}) SELECT e.position, e.event_nid FROM mine JOIN events e ON e.room_nid = mine.room_nid"
        f" AND e.position > mine.low AND e.position <= mine.high WHERE {_OURS}"
        f" UNION {_ASIDE} ORDER BY 1 LIMIT %(limit)s",
        {"to": destination, "ours": list(ours), "after": after, "upto": upto, "limit": limit},
    )
    return cur.fetchall()


def newest_events(cur: Cursor, destination: str, ours: Sequence[str], after: int, upto: int) -> list[tuple[int, int]]:
    """The newest event that it has missed in each room, in order: (position, number)."""
    cur.execute(
        f"WITH mine AS ({_ROOMS}), newest AS (SELECT max(found.position) AS position FROM mine CROSS JOIN LATERAL"
        f" (SELECT e.position FROM (SELECT room_nid, position, sender, state_key_nid, flags FROM events e"
        f" WHERE e.room_nid = mine.room_nid AND e.position > mine.low AND e.position <= mine.high"
        f" ORDER BY e.position DESC LIMIT {_LOOK_BACK}) e WHERE {_OURS}"
        " UNION ALL SELECT p.position FROM federation_passed_on p JOIN events e USING (room_nid, position)"
        " WHERE p.room_nid = mine.room_nid AND p.position > mine.low AND p.position <= mine.high"
        f" AND e.flags = 0 AND {_NEWS}"
        " ORDER BY 1 DESC LIMIT 1) found GROUP BY mine.room_nid)"
        f" SELECT position, event_nid FROM newest JOIN events USING (position) UNION {_ASIDE} ORDER BY 1",
        {"to": destination, "ours": list(ours), "after": after, "upto": upto},
    )
    return cur.fetchall()


def broadcasts(cur: Cursor, destination: str, after: int, upto: int, limit: int) -> list[QueuedEdu]:
    """EDUs for all who share a room with a user, of users who share one with the destination, oldest first."""
    cur.execute(
        "SELECT b.key, b.position, b.edu_type, b.content FROM federation_broadcasts b"
        " WHERE b.position > %s AND b.position <= %s AND EXISTS (SELECT 1 FROM memberships m JOIN room_servers s"
        " ON s.room_nid = m.room_nid AND s.server = %s AND s.until IS NULL"
        " WHERE m.user_id = b.user_id AND m.membership = 'join') ORDER BY b.position LIMIT %s",
        (after, upto, destination, limit),
    )
    return [QueuedEdu(key, position, edu_type, orjson.loads(text)) for key, position, edu_type, text in cur]


def receipts(
    cur: Cursor, destination: str, ours: Sequence[str], after: int, upto: int, limit: int
) -> list[tuple[RoomId, str, dict[str, object]]]:
    """The newest public receipts of our users in rooms with the destination: (room, user, body)."""
    cur.execute(
        "SELECT r.room_id, t.user_id, t.event_id, t.receipt_type, nullif(t.thread_id, ''), t.ts"
        " FROM room_servers s JOIN rooms r USING (room_nid) JOIN receipts t USING (room_nid)"
        " WHERE s.server = %(to)s AND s.until IS NULL AND t.position > %(after)s"
        " AND t.position <= %(upto)s AND t.receipt_type = 'm.read'"
        " AND server_of(t.user_id) = ANY(%(ours)s) ORDER BY t.position DESC LIMIT %(limit)s",
        {"to": destination, "ours": list(ours), "after": after, "upto": upto, "limit": limit},
    )
    return [
        (RoomId(room_id), user_id, body(EventId(event_id), receipt_type, thread_id, ts))
        for room_id, user_id, event_id, receipt_type, thread_id, ts in cur
    ]
