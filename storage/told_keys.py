"""What application services last told of their users' keys."""

from collections.abc import Collection

import orjson
from attrs import asdict
from psycopg2.extensions import cursor as Cursor

from storage.change import Change, Insert
from storage.remote_devices import RemoteKeys

_PUT = Insert("told_keys", {"user_id": "text", "json": "text"}, key=("user_id",), on_conflict="update")


def put(change: Change, user_id: str, keys: RemoteKeys) -> None:
    change.put(_PUT, (user_id, orjson.dumps(asdict(keys)).decode()))


def find(cur: Cursor, user_ids: Collection[str]) -> dict[str, RemoteKeys]:
    """Of those users of whom any was told. One statement."""
    cur.execute("SELECT user_id, json FROM told_keys WHERE user_id = ANY(%s)", (list(user_ids),))
    return {user_id: RemoteKeys(**orjson.loads(json)) for user_id, json in cur}
