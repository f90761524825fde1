"""The state of a room that is taken over from another server, written before anybody can see the room.

It is the room's state since position 0, before everything. Thirty thousand rows are written beside the stream, so that
they hold up no other writer; a nonce says whose they are, and only they may finish: see `claim`.
"""

from collections.abc import Mapping

from psycopg2.extensions import cursor as Cursor

from matrix.ids import RoomId
from storage.change import HeadMoved
from storage.memberships import PUT as PUT_MEMBERSHIP
from storage.rooms import ADD_ROOM
from storage.statements import Insert

_STATE = Insert(
    "room_state",
    {"room_nid": "int", "state_key_nid": "int", "since": "bigint", "until": "bigint", "event_nid": "bigint"},
)
_BATCH = 2_000


def ensure_room(cur: Cursor, room_nid: int, room_id: RoomId, version: str, creator: str, room_type: str | None) -> int:
    """The room's number: this one if it is new. A room of which nothing is stored yet has this version from now on."""
    cur.execute("SELECT room_nid FROM rooms WHERE room_id = %s FOR UPDATE", (room_id,))
    row = cur.fetchone()
    if row is None:
        ADD_ROOM.execute(cur, [(room_nid, room_id, version, creator, room_type)])
        return room_nid
    cur.execute(
        "UPDATE rooms SET version = %s, creator = %s, room_type = %s WHERE room_nid = %s AND head = 0",
        (version, creator, room_type, row[0]),
    )
    return int(row[0])


def write_state(
    cur: Cursor, room_nid: int, nonce: str, state: Mapping[int, int], members: Mapping[str, tuple[str, int]]
) -> None:
    """Event numbers by state_key_nid; membership and event number by user. What another import left is replaced."""
    cur.execute("SELECT 1 FROM rooms WHERE room_nid = %s FOR UPDATE", (room_nid,))
    cur.execute("DELETE FROM room_state WHERE room_nid = %s", (room_nid,))
    rows = [(room_nid, key, 0, None, nid) for key, nid in state.items()]
    for start in range(0, len(rows), _BATCH):
        _STATE.execute(cur, rows[start : start + _BATCH])
    of_users = [(room_nid, user, membership, nid, 0, False) for user, (membership, nid) in members.items()]
    for start in range(0, len(of_users), _BATCH):
        PUT_MEMBERSHIP.execute(cur, of_users[start : start + _BATCH])
    cur.execute(
        "INSERT INTO room_imports VALUES (%s, %s) ON CONFLICT (room_nid) DO UPDATE SET nonce = excluded.nonce",
        (room_nid, nonce),
    )


def claim(cur: Cursor, room_nid: int, nonce: str) -> None:
    """The state that was written is ours. Raises: HeadMoved, if somebody else's has taken its place."""
    cur.execute("DELETE FROM room_imports WHERE room_nid = %s AND nonce = %s", (room_nid, nonce))
    if cur.rowcount != 1:
        raise HeadMoved
