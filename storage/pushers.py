"""Pushers: where notifications of users go.

The work is cut into shards by user, each the work of one process at a time.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId
from storage.change import Change, Custom, Delete

SHARDS = 16

_COLUMNS = {
    "user_id": "text",
    "app_id": "text",
    "pushkey": "text",
    "kind": "text",
    "device_id": "text",
    "token_id": "bigint",
    "app_display_name": "text",
    "device_display_name": "text",
    "profile_tag": "text",
    "lang": "text",
    "data": "text",
    "enabled": "bool",
    "set_ms": "bigint",
    "shard": "smallint",
    "position": "bigint",
}
_KEY = ("user_id", "app_id", "pushkey")
_KEPT = ("shard", "position")
# One that is set again goes on from where it was. The device or the token may have been deleted since the request was
# authenticated: then there is nothing to put.
PUT = Custom(
    _COLUMNS,
    f"INSERT INTO pushers ({', '.join(_COLUMNS)}) SELECT {', '.join(f'v.{name}' for name in _COLUMNS)} FROM {{v}}"
    " WHERE (v.token_id IS NULL OR EXISTS (SELECT 1 FROM access_tokens t WHERE t.token_id = v.token_id))"
    " AND (v.device_id IS NULL OR EXISTS"
    " (SELECT 1 FROM devices d WHERE d.user_id = v.user_id AND d.device_id = v.device_id))"
    f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in (*_KEY, *_KEPT)),
    key_indexes=(0, 1, 2),
)
DELETE = Delete("pushers", dict.fromkeys(_KEY, "text"))
DELETE_OF_OTHERS = Custom(
    dict.fromkeys(_KEY, "text"),
    "DELETE FROM pushers p USING {v} WHERE p.app_id = v.app_id AND p.pushkey = v.pushkey AND p.user_id <> v.user_id",
)
DELETE_OF_DEVICE = Delete("pushers", {"user_id": "text", "device_id": "text"})


def shard_of(user_id: str) -> int:
    return zlib.crc32(user_id.encode()) % SHARDS


def rows_for_deleted_devices(change: Change, user_id: str, device_ids: Iterable[str]) -> None:
    for device_id in device_ids:
        change.put(DELETE_OF_DEVICE, (user_id, device_id))


@frozen(kw_only=True)
class Pusher:
    """`data` is what the client gave, as JSON. `position` is up to where everything was sent."""

    pusher_id: int
    user_id: UserId
    app_id: str
    pushkey: str
    kind: str
    device_id: str | None
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: dict[str, Any]
    enabled: bool
    set_ms: int
    position: int


_SELECT = (
    "SELECT pusher_id, user_id, app_id, pushkey, kind, device_id, app_display_name, device_display_name, profile_tag,"
    " lang, data, enabled, set_ms, position FROM pushers"
)
_NAMES = (
    "pusher_id", "user_id", "app_id", "pushkey", "kind", "device_id", "app_display_name", "device_display_name",
    "profile_tag", "lang", "data", "enabled", "set_ms", "position",
)  # fmt: skip


def _pusher(row: Sequence[Any]) -> Pusher:
    values = dict(zip(_NAMES, row, strict=True))
    return Pusher(**{**values, "user_id": UserId(values["user_id"]), "data": orjson.loads(values["data"])})


def pushers_of(cur: Cursor, user_id: str) -> list[Pusher]:
    """A user's pushers, the oldest first."""
    cur.execute(f"{_SELECT} WHERE user_id = %s ORDER BY pusher_id", (user_id,))
    return [_pusher(row) for row in cur]


def pushers_of_shards(cur: Cursor, shards: Sequence[int]) -> list[Pusher]:
    cur.execute(f"{_SELECT} WHERE shard = ANY(%s) ORDER BY pusher_id", (list(shards),))
    return [_pusher(row) for row in cur]


def rooms_to_look_at(cur: Cursor, pusher_ids: Sequence[int]) -> dict[int, list[int]]:
    """Of each pusher the rooms of its user in which something came after its position."""
    cur.execute(
        "SELECT p.pusher_id, m.room_nid FROM pushers p JOIN memberships m USING (user_id) JOIN rooms r USING (room_nid)"
        " WHERE p.pusher_id = ANY(%s) AND m.membership IN ('join', 'invite') AND r.head > p.position",
        (list(pusher_ids),),
    )
    found: dict[int, list[int]] = {}
    for pusher_id, room_nid in cur:
        found.setdefault(pusher_id, []).append(room_nid)
    return found


def move(cur: Cursor, positions: dict[int, int]) -> None:
    """Up to these positions everything was sent, by pusher."""
    cur.execute(
        "UPDATE pushers p SET position = v.position FROM unnest(%s::bigint[], %s::bigint[]) AS v (pusher_id, position)"
        " WHERE p.pusher_id = v.pusher_id AND p.position < v.position",
        (list(positions), list(positions.values())),
    )
