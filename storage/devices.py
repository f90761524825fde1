"""Devices: what a user's sessions are called, and when each was last used."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Custom, Delete, Insert
from storage.cross_signing import is_cross_signing_key

# A known device keeps its name.
ADD = Insert(
    "devices",
    {"user_id": "text", "device_id": "text", "display_name": "text", "created_ms": "bigint"},
    key=("user_id", "device_id"),
    on_conflict="ignore",
)
SET_NAME = Custom(
    {"user_id": "text", "device_id": "text", "display_name": "text"},
    "UPDATE devices d SET display_name = v.display_name FROM {v}"
    " WHERE d.user_id = v.user_id AND d.device_id = v.device_id",
)
DELETE = Delete("devices", {"user_id": "text", "device_id": "text"})


@frozen
class Device:
    user_id: str
    device_id: str
    display_name: str | None
    last_seen_ms: int | None
    last_seen_ip: str | None
    last_seen_user_agent: str | None


@frozen
class Sighting:
    """A device made a request."""

    user_id: str
    device_id: str
    seen_ms: int
    ip: str
    user_agent: str


_SELECT = (
    "SELECT user_id, device_id, display_name, last_seen_ms, last_seen_ip, last_seen_user_agent FROM devices WHERE "
)


def list_devices(cur: Cursor, user_id: str) -> list[Device]:
    """All devices of a user, the oldest first."""
    cur.execute(_SELECT + "user_id = %s ORDER BY created_ms, device_id", (user_id,))
    return [Device(*row) for row in cur]


def find_device(cur: Cursor, user_id: str, device_id: str) -> Device | None:
    cur.execute(_SELECT + "user_id = %s AND device_id = %s", (user_id, device_id))
    row = cur.fetchone()
    return None if row is None else Device(*row)


@frozen
class WishedDevice:
    """A device id that a login asks for. No device may be called as a cross-signing key is."""

    is_known: bool
    is_signing_key: bool


def look_up_wished(cur: Cursor, user_id: str, device_id: str) -> WishedDevice:
    return WishedDevice(find_device(cur, user_id, device_id) is not None, is_cross_signing_key(cur, user_id, device_id))


def device_ids(cur: Cursor, user_id: str) -> list[str]:
    cur.execute("SELECT device_id FROM devices WHERE user_id = %s ORDER BY device_id", (user_id,))
    return [device_id for (device_id,) in cur]


def first_device_ids(cur: Cursor, user_ids: Sequence[str]) -> dict[str, str]:
    """The first of each user's device ids, of those who have any."""
    cur.execute("SELECT user_id, min(device_id) FROM devices WHERE user_id = ANY(%s) GROUP BY 1", (list(user_ids),))
    return dict(cur.fetchall())


def find_stale(cur: Cursor, before_ms: int, limit: int = 1000) -> dict[str, list[str]]:
    """Devices that were last seen before that time, by user; at most `limit`."""
    cur.execute("SELECT user_id, device_id FROM devices WHERE last_seen_ms < %s LIMIT %s", (before_ms, limit))
    found: dict[str, list[str]] = {}
    for user_id, device_id in cur:
        found.setdefault(user_id, []).append(device_id)
    return found


def forget_addresses(cur: Cursor, before_ms: int, limit: int = 5_000) -> int:
    """Drops from where devices came that were last seen before that time, at most `limit`; gives how many."""
    cur.execute(
        "UPDATE devices SET last_seen_ip = NULL, last_seen_user_agent = NULL WHERE (user_id, device_id) IN"
        " (SELECT user_id, device_id FROM devices WHERE last_seen_ms < %s AND last_seen_ip IS NOT NULL LIMIT %s)",
        (before_ms, limit),
    )
    return cur.rowcount


def put_sightings(cur: Cursor, sightings: Sequence[Sighting]) -> None:
    """Writes when devices were last seen, at most one sighting for each device."""
    columns = list(zip(*((s.user_id, s.device_id, s.seen_ms, s.ip, s.user_agent) for s in sightings), strict=True))
    cur.execute(
        "UPDATE devices d SET last_seen_ms = v.seen_ms, last_seen_ip = v.ip, last_seen_user_agent = v.user_agent"
        " FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])"
        " AS v (user_id, device_id, seen_ms, ip, user_agent)"
        " WHERE d.user_id = v.user_id AND d.device_id = v.device_id"
        " AND (d.last_seen_ms IS NULL OR d.last_seen_ms < v.seen_ms)",
        [list(column) for column in columns],
    )
