"""Account data, global and of rooms: JSON that a user keeps on the server. `room_id` is '' for the global ones.

Contents are JSON as text, ready to be sent. Tags are the m.tag of a room.
"""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from psycopg2.extensions import cursor as Cursor

from storage.change import Change, Custom, Delete, Entry, Insert, Kind
from storage.prepared import Often

TAG = "m.tag"

PUT = Insert(
    "account_data",
    {"user_id": "text", "room_id": "text", "type": "text", "content": "text", "position": "bigint", "deleted": "bool"},
    key=("user_id", "room_id", "type"),
    on_conflict="update",
)
# Who reads along hears of an empty content, once: what is not there, or deleted already, is left alone.
REMOVE = Custom(
    {"user_id": "text", "room_id": "text", "type": "text", "position": "bigint"},
    "UPDATE account_data a SET content = '{}', deleted = true, position = v.position FROM {v}"
    " WHERE a.user_id = v.user_id AND a.room_id = v.room_id AND a.type = v.type AND NOT a.deleted",
    key_indexes=(0, 1, 2),
)
DELETE_ALL = Delete("account_data", {"user_id": "text"})
# What a device keeps for itself goes with it: MSC3890.
_OF_DEVICES = ("m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings.")


def rows_for_deleted_devices(change: Change, user_id: str, device_ids: Iterable[str]) -> None:
    for device_id in device_ids:
        for kind in (prefix + device_id for prefix in _OF_DEVICES):
            entry = Entry(Kind.ACCOUNT_DATA, user_id=user_id, body={"room_id": "", "type": kind})
            change.put(REMOVE, (user_id, "", kind, change.announce(entry)))


def find(cur: Cursor, user_id: str, room_id: str, kind: str) -> str | None:
    """The content, unless it was deleted."""
    cur.execute(
        Often("SELECT content FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s AND NOT deleted"),
        (user_id, room_id, kind),
    )
    row = cur.fetchone()
    return None if row is None else str(row[0])


def contents_of_kinds(cur: Cursor, user_ids: list[str], kinds: list[str]) -> list[tuple[str, str, str]]:
    """(user_id, type, content) of the global account data of some types of several users."""
    cur.execute(
        "SELECT user_id, type, content FROM account_data"
        " WHERE user_id = ANY(%s) AND room_id = '' AND type = ANY(%s) AND NOT deleted",
        (user_ids, kinds),
    )
    return cur.fetchall()


def all_of(cur: Cursor, user_id: str) -> list[tuple[str, str, str]]:
    """(room_id, type, content) of all that a user has."""
    cur.execute(Often("SELECT room_id, type, content FROM account_data WHERE user_id = %s AND NOT deleted"), (user_id,))
    return cur.fetchall()


def changed_since(cur: Cursor, user_id: str, since: int, upto: int) -> list[tuple[str, str, str]]:
    """(room_id, type, content) of what changed in (since, upto]. What was deleted has the content '{}'.

    What changed again after `upto` is left out: it comes with the next range.
    """
    cur.execute(
        Often(
            "SELECT room_id, type, content FROM account_data WHERE user_id = %s AND position > %s AND position <= %s"
            " ORDER BY position"
        ),
        (user_id, since, upto),
    )
    return cur.fetchall()


def put_tag(cur: Cursor, user_id: str, room_id: str, tag: str, content: dict[str, Any] | None, position: int) -> None:
    """Sets a tag of a room, or takes it off (None). The committer's turn: nobody else writes in between."""
    tags = tags_of(find(cur, user_id, room_id, TAG))
    tags.pop(tag, None)
    if content is not None:
        tags[tag] = content
    row = (user_id, room_id, TAG, orjson.dumps({"tags": tags}).decode(), position, False)
    PUT.execute(cur, [row])


def change_content(
    cur: Cursor,
    user_id: str,
    room_id: str,
    kind: str,
    decide: Callable[[str | None], dict[str, Any] | None],
    position: int,
) -> None:
    """Puts what is made of the content as it is now, if anything is. The committer's turn, as in `put_tag`."""
    content = decide(find(cur, user_id, room_id, kind))
    if content is not None:
        PUT.execute(cur, [(user_id, room_id, kind, orjson.dumps(content).decode(), position, False)])


def tags_of(content: str | None) -> dict[str, Any]:
    """The tags in an m.tag content, which its user may have written in any shape."""
    tags = None if content is None else orjson.loads(content).get("tags")
    return tags if isinstance(tags, dict) else {}
