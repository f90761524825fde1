"""Events without a place in the room's history: known because state or auth chains name them.

They are written beside the stream, in parts, so that thirty thousand of them hold up no other writer. Later such an
event may be told its place: `PLACE`.
"""

from collections.abc import Collection, Sequence

from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import Custom, Insert
from storage.events import ADD, EventRow, row_values

# An event that was an outlier is told its place, or is rejected or soft-failed at it. Of two processes that do so at
# once, the one that gives it a position is right.
PLACE = Custom(
    {
        "event_nid": "bigint",
        "position": "bigint",
        "flags": "smallint",
        "replaces": "bigint",
        "prev_nids": "bigint[]",
        "auth_nids": "bigint[]",
    },
    "UPDATE events e SET position = v.position, flags = v.flags, replaces = v.replaces,"
    " prev_nids = v.prev_nids::bigint[], auth_nids = v.auth_nids::bigint[]"
    " FROM {v} WHERE e.event_nid = v.event_nid AND e.position IS NULL",
    key_indexes=(0,),
)


def flags_of(cur: Cursor, nids: Collection[int]) -> dict[int, int]:
    """The flags as they are now: an event in memory may have been told its place by another process."""
    cur.execute("SELECT event_nid, flags FROM events WHERE event_nid = ANY(%s)", (list(nids),))
    return dict(cur.fetchall())


_ADD = Insert("events", ADD.columns, key=("event_id",), on_conflict="ignore")


def add_outliers(cur: Cursor, rows: Sequence[EventRow]) -> dict[EventId, int]:
    """Adds those that are not there, and gives the numbers of all. Their `flags` say that they are outliers."""
    _ADD.execute(cur, [row_values(row, None) for row in rows])
    cur.execute("SELECT event_id, event_nid FROM events WHERE event_id = ANY(%s)", ([r.stored.event_id for r in rows],))
    return {EventId(event_id): nid for event_id, nid in cur}
