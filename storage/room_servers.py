"""Which servers are and were in which rooms: those of the joined members.

The table follows `memberships` by a trigger, so no writer of memberships has to think of it.
"""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import ServerName


@frozen
class ServersRow:
    """The servers of a room now. Before each event behind the position `since` they were the same."""

    servers: frozenset[ServerName]
    since: int


def find_servers(cur: Cursor, room_nids: list[int]) -> dict[int, ServersRow]:
    """By room, also of rooms that nobody is in. One statement."""
    cur.execute(
        "SELECT room_nid, array_agg(server) FILTER (WHERE until IS NULL), max(greatest(since, until))"
        " FROM room_servers WHERE room_nid = ANY(%s) GROUP BY room_nid",
        (room_nids,),
    )
    found = {row[0]: ServersRow(frozenset(map(ServerName, row[1] or ())), row[2]) for row in cur}
    return {room_nid: found.get(room_nid) or ServersRow(frozenset(), 0) for room_nid in room_nids}


def find_server(cur: Cursor, room_nid: int, servers: list[str]) -> dict[ServerName, tuple[bool, int]]:
    """Of those servers that were ever in the room: are they still, and the position since when."""
    cur.execute(
        "SELECT server, bool_or(until IS NULL), max(greatest(since, until)) FROM room_servers"
        " WHERE room_nid = %s AND server = ANY(%s) GROUP BY server",
        (room_nid, servers),
    )
    return {ServerName(server): (is_in, since) for server, is_in, since in cur}


def servers_before(cur: Cursor, room_nid: int, position: int) -> frozenset[ServerName]:
    """The servers that were in the room before the event at the position."""
    cur.execute(
        "SELECT DISTINCT server FROM room_servers WHERE room_nid = %s AND since < %s"
        " AND (until IS NULL OR until >= %s)",
        (room_nid, position, position),
    )
    return frozenset(ServerName(server) for (server,) in cur)


def joined_users(cur: Cursor, room_nid: int, user_ids: list[str]) -> set[str]:
    """Those of the users who are joined to the room."""
    cur.execute(
        "SELECT user_id FROM memberships WHERE room_nid = %s AND user_id = ANY(%s) AND membership = 'join'",
        (room_nid, user_ids),
    )
    return {user_id for (user_id,) in cur}


def joined_anywhere(cur: Cursor, user_ids: list[str]) -> set[str]:
    """Those of the users who are joined to any room."""
    cur.execute("SELECT DISTINCT user_id FROM memberships WHERE user_id = ANY(%s) AND membership = 'join'", (user_ids,))
    return {user_id for (user_id,) in cur}
