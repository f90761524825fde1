"""Rooms: their row, and all that a process needs to decide on one."""

import sys

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from matrix.ids import EventId, RoomId
from storage.change import Insert
from storage.prepared import Often

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
    cur.execute(Often("SELECT room_nid, room_id, version FROM rooms WHERE room_id = %s"), (room_id,))
    row = cur.fetchone()
    return None if row is None else RoomRow(row[0], RoomId(row[1]), row[2])


def find_rooms(cur: Cursor, room_nids: list[int]) -> dict[int, RoomRow]:
    cur.execute(Often("SELECT room_nid, room_id, version FROM rooms WHERE room_nid = ANY(%s)"), (room_nids,))
    return {row[0]: RoomRow(row[0], RoomId(row[1]), row[2]) for row in cur}


def find_rooms_by_id(cur: Cursor, room_ids: list[str]) -> dict[RoomId, RoomRow]:
    cur.execute(Often("SELECT room_nid, room_id, version FROM rooms WHERE room_id = ANY(%s)"), (room_ids,))
    return {RoomId(row[1]): RoomRow(row[0], RoomId(row[1]), row[2]) for row in cur}


def load_heads(cur: Cursor, room_nids: list[int]) -> dict[int, HeadRow]:
    """What the next changes to these rooms are decided on. In a transaction: all is as of one moment.

    Sync reads the state as that of the position; a change that is decided on a head that has moved will be refused.
    """
    cur.execute(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT room_nid, head FROM rooms WHERE room_nid = ANY(%s)",
        (room_nids,),
    )
    heads = {room_nid: HeadRow(position, [], {}) for room_nid, position in cur}
    cur.execute(
        "SELECT r.room_nid, e.event_nid, e.event_id, e.depth FROM rooms r"
        " CROSS JOIN unnest(r.extremities) AS x (event_nid)"
        " JOIN events e ON e.event_nid = x.event_nid WHERE r.room_nid = ANY(%s)",
        (room_nids,),
    )
    for room_nid, nid, event_id, depth in cur:
        heads[room_nid].extremities.append((nid, EventId(event_id), depth))
    cur.execute(
        "SELECT s.room_nid, k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = ANY(%s) AND s.until IS NULL AND s.event_nid <> 0",
        (room_nids,),
    )
    for room_nid, type_, state_key, nid in cur:
        heads[room_nid].state[(sys.intern(type_), state_key)] = nid
    return heads


def moved_since(cur: Cursor, room_nids: list[int], position: int) -> list[int]:
    """Those of the rooms whose head is beyond the position."""
    cur.execute(Often("SELECT room_nid FROM rooms WHERE room_nid = ANY(%s) AND head > %s"), (room_nids, position))
    return [room_nid for (room_nid,) in cur]
