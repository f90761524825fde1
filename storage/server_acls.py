"""The access control list of a room as it is now."""

from psycopg2.extensions import cursor as Cursor

from matrix.events import Json
from storage.events import find_events


def find_content(cur: Cursor, room_nid: int) -> Json | None:
    """The content of the room's m.room.server_acl; None if it has none."""
    cur.execute(
        "SELECT s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = %s AND s.until IS NULL AND k.type = 'm.room.server_acl' AND k.state_key = ''",
        (room_nid,),
    )
    row = cur.fetchone()
    found = {} if row is None else find_events(cur, [row[0]])
    return next((stored.event.content for stored in found.values()), None)
