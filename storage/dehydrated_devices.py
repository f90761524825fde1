"""Dehydrated devices: the one device of a user that no client runs. It is a row of `devices` as well.

Source: MSC3814.
"""

from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Insert

PUT = Insert(
    "dehydrated_devices",
    {"user_id": "text", "device_id": "text", "device_data": "text"},
    key=("user_id",),
    on_conflict="update",
)


@frozen
class DehydratedDevice:
    device_id: str
    device_data: dict[str, Any]


def find_dehydrated_device(cur: Cursor, user_id: str) -> DehydratedDevice | None:
    cur.execute("SELECT device_id, device_data FROM dehydrated_devices WHERE user_id = %s", (user_id,))
    row = cur.fetchone()
    return None if row is None else DehydratedDevice(row[0], orjson.loads(row[1]))
