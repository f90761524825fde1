"""Presence of users, as it was last told."""

from typing import Any

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Insert
from storage.prepared import Often

PUT = Insert(
    "presence",
    {"user_id": "text", "presence": "text", "status_msg": "text", "last_active_ms": "bigint", "position": "bigint"},
    key=("user_id",),
    on_conflict="update",
)


@frozen
class PresenceRow:
    """`last_active_ms` is 0 if it is not known."""

    presence: str
    status_msg: str | None
    last_active_ms: int

    def body(self) -> dict[str, Any]:
        """What a PRESENCE entry says."""
        return {
            "presence": self.presence,
            "status_msg": self.status_msg,
            "last_active_ms": self.last_active_ms,
        }

    def is_about(self, other: "PresenceRow", granularity_ms: int) -> bool:
        """The same but for a small difference in time."""
        same = (self.presence, self.status_msg) == (other.presence, other.status_msg)
        return same and abs(self.last_active_ms - other.last_active_ms) <= granularity_ms


def find(cur: Cursor, user_id: str) -> PresenceRow | None:
    cur.execute(Often("SELECT presence, status_msg, last_active_ms FROM presence WHERE user_id = %s"), (user_id,))
    row = cur.fetchone()
    return None if row is None else PresenceRow(*row)


def find_many(cur: Cursor, user_ids: list[str]) -> dict[str, PresenceRow]:
    cur.execute(
        Often("SELECT user_id, presence, status_msg, last_active_ms FROM presence WHERE user_id = ANY(%s)"), (user_ids,)
    )
    return {row[0]: PresenceRow(*row[1:]) for row in cur}


def find_in_room(cur: Cursor, room_nid: int, servers: list[str], limit: int) -> dict[str, PresenceRow]:
    """Of those servers' users who are joined to the room, those who are not offline, who came last first."""
    cur.execute(
        "SELECT p.user_id, p.presence, p.status_msg, p.last_active_ms"
        " FROM memberships m JOIN presence p USING (user_id)"
        " WHERE m.room_nid = %s AND m.membership = 'join' AND server_of(m.user_id) = ANY(%s)"
        " AND p.presence <> 'offline' ORDER BY p.position DESC LIMIT %s",
        (room_nid, servers, limit),
    )
    return {row[0]: PresenceRow(*row[1:]) for row in cur}


def find_not_offline(cur: Cursor) -> dict[str, PresenceRow]:
    cur.execute("SELECT user_id, presence, status_msg, last_active_ms FROM presence WHERE presence <> 'offline'")
    return {row[0]: PresenceRow(*row[1:]) for row in cur}
