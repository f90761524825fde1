"""Who changed their devices or keys, and when: what `device_lists` of a sync and /keys/changes are made of.

An entry of Kind.DEVICE_LIST tells that `user_id` changed. Its body says what:

    {"device_id": "ABC"}                   a device appeared, or its keys, name or signatures changed
    {"device_id": "ABC", "deleted": true}  a device is gone
    {"cross_signing": true}                the master or self-signing key changed
    {"signed": ["@bob:b"]}                 `user_id` signed these users' keys, or changed the user-signing key (then it
                                           names itself): only `user_id` itself may hear of it
"""

from collections.abc import Iterable
from typing import Any

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import At, Change, Entry, Insert, Kind

PUT = Insert("device_list_changes", {"user_id": "text", "position": "bigint"}, key=("user_id",), on_conflict="update")
PUT_SIGNED = Insert(
    "signature_changes",
    {"reader_id": "text", "user_id": "text", "position": "bigint"},
    key=("reader_id", "user_id"),
    on_conflict="update",
)


def record(change: Change, user_id: str, body: dict[str, Any]) -> At:
    """Announces that a user's devices or keys changed, and keeps it for readers with older tokens."""
    at = change.announce(Entry(kind=Kind.DEVICE_LIST, user_id=user_id, body=body))
    change.put(PUT, (user_id, at))
    return at


def record_signed(change: Change, signer: str, user_ids: list[str]) -> At:
    """The same for what only the signer may hear of. See above."""
    at = change.announce(Entry(kind=Kind.DEVICE_LIST, user_id=signer, body={"signed": user_ids}))
    for user_id in user_ids:
        change.put(PUT_SIGNED, (signer, user_id, at))
    return at


def told_to(reader: str, entries: Iterable[Entry]) -> set[str]:
    """The users who changed according to entries of the stream, as `reader` may hear it.

    Not checked: that the reader shares a room with them.
    """
    users: set[str] = set()
    for entry in entries:
        if entry.kind is Kind.DEVICE_LIST and entry.user_id is not None:
            signed = entry.body.get("signed")
            if signed is None:
                users.add(entry.user_id)
            elif entry.user_id == reader:
                users.update(signed)
    return users


def changed(cur: Cursor, since: int, upto: int, reader: str | None = None) -> list[str]:
    """Everybody who changed in (since, upto], and perhaps some who changed only later; one statement.

    Only the last change of a user is kept, so one who changed within the range and again after it must be told too.
    With a `reader`, also those whose keys the reader signed.
    """
    cur.execute(
        "SELECT user_id FROM device_list_changes WHERE position > %(since)s AND %(since)s < %(upto)s"
        " UNION SELECT user_id FROM signature_changes"
        " WHERE reader_id = %(reader)s AND position > %(since)s AND %(since)s < %(upto)s",
        {"since": since, "upto": upto, "reader": reader},
    )
    return [user_id for (user_id,) in cur]


def sharing_a_room(cur: Cursor, reader: str, user_ids: list[str]) -> set[str]:
    """Those of the users who are joined to a room that the reader is joined to."""
    cur.execute(
        "SELECT DISTINCT theirs.user_id FROM memberships mine JOIN memberships theirs USING (room_nid)"
        " WHERE mine.user_id = %s AND mine.membership = 'join'"
        " AND theirs.user_id = ANY(%s) AND theirs.membership = 'join'",
        (reader, user_ids),
    )
    return {user_id for (user_id,) in cur}


# Who is invited or knocks will soon need the keys: as Synapse does.
INSIDE = ("join", "invite", "knock")


@frozen
class Moves:
    """Users whose sharing of rooms with the reader may have changed."""

    came: set[str]
    went: set[str]


# `mine`: the rooms that the reader is in, or left within the range.
_MOVES = """
    WITH mine AS (
        SELECT room_nid, membership = 'join' AS inside, position > %(since)s AS moved FROM memberships
        WHERE user_id = %(reader)s AND (membership = 'join' OR position > %(since)s)
    ), theirs AS (
        SELECT m.user_id, mine.inside, mine.moved, m.membership IN ('join', 'invite', 'knock') AS they_inside,
            m.position > %(since)s AS they_moved
        FROM mine JOIN memberships m USING (room_nid) WHERE m.user_id <> %(reader)s
    )
    SELECT DISTINCT user_id, inside AND they_inside FROM theirs
    WHERE (inside AND they_moved) OR (they_inside AND (moved OR NOT inside))
    UNION SELECT %(reader)s, true FROM mine WHERE inside AND moved
"""


def moves(cur: Cursor, reader: str, since: int) -> Moves:
    """Who came into or went from the reader's rooms after `since`, or whose rooms the reader came to or went from.

    The reader too, who came into a room.
    Superfluous names are possible: a member event that changes no membership counts too. Whether those in `went` share
    another room with the reader is not looked at.
    """
    cur.execute(_MOVES, {"reader": reader, "since": since})
    found = Moves(set(), set())
    for user_id, came in cur:
        (found.came if came else found.went).add(user_id)
    return found
