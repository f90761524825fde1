"""Who is and was in which room: the current membership of each user in each room, found from both sides."""

from collections.abc import Sequence

from attrs import define
from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId
from storage.change import Custom, Insert
from storage.prepared import Often

PUT = Insert(
    "memberships",
    {
        "room_nid": "int",
        "user_id": "text",
        "membership": "text",
        "event_nid": "bigint",
        "position": "bigint",
        "forgotten": "bool",
    },
    key=("room_nid", "user_id"),
    on_conflict="update",
)
FORGET = Custom(
    {"room_nid": "int", "user_id": "text"},
    "UPDATE memberships m SET forgotten = true FROM {v} WHERE m.room_nid = v.room_nid AND m.user_id = v.user_id",
)


@define(slots=True)
class Membership:
    """`position` is the member event's; `forgotten` only of rooms that the user has left."""

    membership: str
    event_nid: int
    position: int
    forgotten: bool = False


def rooms_of(cur: Cursor, user_id: str) -> dict[int, Membership]:
    """All rooms that the user has a membership of, forgotten ones too."""
    cur.execute(
        Often("SELECT room_nid, membership, event_nid, position, forgotten FROM memberships WHERE user_id = %s"),
        (user_id,),
    )
    return {row[0]: Membership(*row[1:]) for row in cur}


def by_others(cur: Cursor, user_id: str, event_nids: Sequence[int]) -> set[int]:
    """Those of the user's member events that others have sent."""
    cur.execute("SELECT event_nid FROM events WHERE event_nid = ANY(%s) AND sender <> %s", (list(event_nids), user_id))
    return {event_nid for (event_nid,) in cur}


def joined_rooms_of(cur: Cursor, user_ids: Sequence[str]) -> dict[str, list[int]]:
    """The rooms that the users are joined to; who is in none is not there. One statement."""
    cur.execute(
        "SELECT user_id, array_agg(room_nid) FROM memberships WHERE user_id = ANY(%s) AND membership = 'join'"
        " GROUP BY user_id",
        (list(user_ids),),
    )
    return dict(cur.fetchall())


def members_of(cur: Cursor, room_nid: int) -> dict[UserId, str]:
    """Each user's membership of the room, without those who left or never came."""
    cur.execute(
        Often("SELECT user_id, membership FROM memberships WHERE room_nid = %s AND membership <> 'leave'"), (room_nid,)
    )
    return {UserId(user_id): membership for user_id, membership in cur}


def joined_guests(cur: Cursor, room_nid: int) -> list[UserId]:
    """The guests of ours who are in the room."""
    cur.execute(
        "SELECT m.user_id FROM memberships m JOIN users u USING (user_id)"
        " WHERE m.room_nid = %s AND m.membership = 'join' AND u.is_guest",
        (room_nid,),
    )
    return [UserId(user_id) for (user_id,) in cur]


def rooms_we_are_in(cur: Cursor, room_nids: list[int]) -> set[int]:
    """Those of the rooms that a user of ours is joined to, or that nobody is joined to though we have their state."""
    cur.execute(
        "SELECT r.room_nid FROM rooms r WHERE r.room_nid = ANY(%s) AND r.head > 0 AND ("
        " EXISTS (SELECT FROM memberships m JOIN users u USING (user_id)"
        " WHERE m.room_nid = r.room_nid AND m.membership = 'join')"
        " OR NOT EXISTS (SELECT FROM memberships m WHERE m.room_nid = r.room_nid AND m.membership = 'join'))",
        (room_nids,),
    )
    return {room_nid for (room_nid,) in cur}
