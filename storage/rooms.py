"""Rooms: their row, and all that a process needs to decide on one."""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from matrix.ids import EventId, RoomId
from storage.change import Insert

ADD_ROOM = Insert(
    "rooms", {"room_nid": "int", "room_id": "text", "version": "text", "creator": "text", "room_type": "text"}
)


@frozen
class RoomRow:
    room_nid: int
    room_id: RoomId
    version: str


@frozen
class HeadRow:
    """A room's newest: its head's position, its extremities, and its resolved state as event numbers."""

    position: int
    extremities: list[tuple[int, EventId, int]]  # number, id, depth
    state: dict[StateKey, int]


def find_room(cur: Cursor, room_id: str) -> RoomRow | None:
    cur.execute("SELECT room_nid, room_id, version FROM rooms WHERE room_id = %s", (room_id,))
    row = cur.fetchone()
    return None if row is None else RoomRow(row[0], RoomId(row[1]), row[2])


def find_rooms(cur: Cursor, room_nids: list[int]) -> dict[int, RoomRow]:
    cur.execute("SELECT room_nid, room_id, version FROM rooms WHERE room_nid = ANY(%s)", (room_nids,))
    return {row[0]: RoomRow(row[0], RoomId(row[1]), row[2]) for row in cur}


def load_head(cur: Cursor, room_nid: int) -> HeadRow:
    """What the next change is decided on.

    The position is read first: if a commit comes between, the state is newer than the position, and the change that
    is decided on it will be refused.
    """
    cur.execute("SELECT head FROM rooms WHERE room_nid = %s", (room_nid,))
    row = cur.fetchone()
    assert row is not None
    cur.execute(
        "SELECT e.event_nid, e.event_id, e.depth FROM rooms r CROSS JOIN unnest(r.extremities) AS x (event_nid)"
        " JOIN events e ON e.event_nid = x.event_nid WHERE r.room_nid = %s",
        (room_nid,),
    )
    extremities = [(nid, EventId(event_id), depth) for nid, event_id, depth in cur]
    cur.execute(
        "SELECT k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = %s AND s.until IS NULL",
        (room_nid,),
    )
    return HeadRow(row[0], extremities, {(type_, state_key): nid for type_, state_key, nid in cur})
