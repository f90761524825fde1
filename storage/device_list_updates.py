"""What other servers were told of our users' device lists, and how far whoever tells them has read the stream."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import ServerName
from storage.change import Insert
from storage.remote_devices import drop_unshared

PUT = Insert("device_list_updates", {"user_id": "text", "stream_id": "bigint"}, key=("user_id",), on_conflict="update")


class Overtaken(Exception):
    """Another process has read further."""


def find_last(cur: Cursor, user_id: str) -> int:
    """The stream_id of the last update of a user; 0 if there was none. One statement."""
    return find_lasts(cur, [user_id]).get(user_id, 0)


def find_lasts(cur: Cursor, user_ids: Sequence[str]) -> dict[str, int]:
    """The same of several users, of whom there was any. One statement."""
    cur.execute("SELECT user_id, stream_id FROM device_list_updates WHERE user_id = ANY(%s)", (list(user_ids),))
    return {user_id: stream_id for user_id, stream_id in cur}


def servers_new_to(cur: Cursor, server: str, user_id: str, room_nid: int) -> list[ServerName]:
    """The servers in a room, ours aside, that share no other room with a user of ours in it. One statement."""
    cur.execute(
        "SELECT s.server FROM room_servers s WHERE s.room_nid = %(room)s AND s.until IS NULL AND s.server <> %(server)s"
        " AND NOT EXISTS (SELECT 1 FROM memberships m JOIN room_servers o USING (room_nid) WHERE m.user_id = %(user)s"
        " AND m.membership = 'join' AND m.room_nid <> %(room)s AND o.server = s.server AND o.until IS NULL)",
        {"room": room_nid, "server": server, "user": user_id},
    )
    return [ServerName(name) for (name,) in cur]


@frozen
class Newcomer:
    """A server, and the position of the event of the room by which it may have come in."""

    server: str
    room_nid: int
    position: int


def users_new_to(cur: Cursor, ours: str, newcomer: Newcomer, limit: int) -> list[str]:
    """If the server came into the room by that event: our users there with whom it shares no other room.

    One statement, that looks at no other members: first at our users in the room, then at the rooms of each.
    """
    cur.execute(
        "WITH ours AS MATERIALIZED (SELECT user_id FROM memberships WHERE room_nid = %(room)s AND membership = 'join'"
        " AND server_of(user_id) = %(ours)s AND EXISTS (SELECT 1 FROM room_servers s WHERE s.room_nid = %(room)s"
        " AND s.server = %(server)s AND s.until IS NULL AND s.since = %(at)s))"
        " SELECT user_id FROM ours WHERE (SELECT 1 FROM memberships o JOIN room_servers s USING (room_nid)"
        " WHERE o.user_id = ours.user_id AND o.membership = 'join' AND o.room_nid <> %(room)s"
        " AND s.server = %(server)s AND s.until IS NULL LIMIT 1) IS NULL LIMIT %(limit)s",
        {
            "ours": ours,
            "room": newcomer.room_nid,
            "server": newcomer.server,
            "at": newcomer.position,
            "limit": limit,
        },
    )
    return [user_id for (user_id,) in cur]


def begin_reading(cur: Cursor, name: str, position: int) -> int:
    """How far a reader of the stream has come; one that is new begins at `position`."""
    cur.execute(
        "INSERT INTO stream_readers (name, position) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING position",
        (name, position),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def has_read(cur: Cursor, name: str, position: int, before: int) -> None:
    """The reader has come from `before` to `position`. Raises: Overtaken."""
    cur.execute("UPDATE stream_readers SET position = %s WHERE name = %s AND position = %s", (position, name, before))
    if cur.rowcount != 1:
        raise Overtaken


def has_read_and_dropped(
    cur: Cursor, name: str, position: int, before: int, server: str, dropped: Sequence[tuple[Sequence[str], int]]
) -> None:
    """`has_read`, and drops the lists of users who share no room with our server since a position."""
    has_read(cur, name, position, before)
    for user_ids, since in dropped:
        drop_unshared(cur, server, user_ids, since)
