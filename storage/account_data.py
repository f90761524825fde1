"""Account data, global and of rooms: JSON that a user keeps on the server. `room_id` is '' for the global ones.

Contents are JSON as text, ready to be sent. Tags are the m.tag of a room.
"""

from collections.abc import Callable
from typing import Any

import orjson
from psycopg2.extensions import cursor as Cursor

from storage.change import Delete, Insert

TAG = "m.tag"

PUT = Insert(
    "account_data",
    {"user_id": "text", "room_id": "text", "type": "text", "content": "text", "position": "bigint", "deleted": "bool"},
    key=("user_id", "room_id", "type"),
    on_conflict="update",
)
DELETE_ALL = Delete("account_data", {"user_id": "text"})


def find(cur: Cursor, user_id: str, room_id: str, kind: str) -> str | None:
    """The content, unless it was deleted."""
    cur.execute(
        "SELECT content FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s AND NOT deleted",
        (user_id, room_id, kind),
    )
    row = cur.fetchone()
    return None if row is None else str(row[0])


def contents_of(cur: Cursor, user_ids: list[str], kind: str) -> dict[str, str]:
    """The global account data of one type of several users, by user."""
    cur.execute(
        "SELECT user_id, content FROM account_data"
        " WHERE user_id = ANY(%s) AND room_id = '' AND type = %s AND NOT deleted",
        (user_ids, kind),
    )
    return dict(cur.fetchall())


def all_of(cur: Cursor, user_id: str) -> list[tuple[str, str, str]]:
    """(room_id, type, content) of all that a user has."""
    cur.execute("SELECT room_id, type, content FROM account_data WHERE user_id = %s AND NOT deleted", (user_id,))
    return cur.fetchall()


def changed_since(cur: Cursor, user_id: str, since: int, upto: int) -> list[tuple[str, str, str]]:
    """(room_id, type, content) of what changed in (since, upto]. What was deleted has the content '{}'.

    What changed again after `upto` is left out: it comes with the next range.
    """
    cur.execute(
        "SELECT room_id, type, content FROM account_data WHERE user_id = %s AND position > %s AND position <= %s"
        " ORDER BY position",
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
