"""Room aliases of this server."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import RoomAlias, RoomId, UserId
from storage.change import Custom, Delete, Insert

# A commit raises AlreadyThere if the alias is taken.
ADD = Insert("room_aliases", {"alias": "text", "room_nid": "int", "creator": "text"})
DELETE = Delete("room_aliases", {"alias": "text", "room_nid": "int"})
MOVE_ALL = Custom(
    {"old": "int", "new": "int"},
    "UPDATE room_aliases a SET room_nid = v.new FROM {v} WHERE a.room_nid = v.old",
)


@frozen
class AliasRow:
    alias: RoomAlias
    room_nid: int
    room_id: RoomId
    creator: UserId


def find_aliases(cur: Cursor, aliases: Sequence[str]) -> dict[str, AliasRow]:
    """Those of the aliases that are given, by alias."""
    cur.execute(
        "SELECT a.alias, a.room_nid, r.room_id, a.creator FROM room_aliases a JOIN rooms r USING (room_nid)"
        " WHERE a.alias = ANY(%s)",
        (list(aliases),),
    )
    return {row[0]: AliasRow(RoomAlias(row[0]), row[1], RoomId(row[2]), UserId(row[3])) for row in cur}


def aliases_of(cur: Cursor, room_nid: int) -> list[RoomAlias]:
    """The room's aliases on this server, in order."""
    cur.execute("SELECT alias FROM room_aliases WHERE room_nid = %s ORDER BY alias", (room_nid,))
    return [RoomAlias(alias) for (alias,) in cur]
