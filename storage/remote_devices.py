"""Device lists of users of other servers who share a room with one of ours, as their servers told us.

What is there says nothing of who shares a room: whoever goes from the last one is to be dropped (`drop_unshared`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

Json = dict[str, Any]

# As in Synapse, which takes no keys of a user with more devices.
MAX_DEVICES = 1_000


class Outdated(Exception):
    """The list is no longer what the caller decided on."""


@frozen(kw_only=True)
class RemoteKeys:
    """What a user of another server shows: keys of devices by device id, and the cross-signing keys, if any."""

    devices: Mapping[str, Json] = field(factory=dict)
    master: Json | None = None
    self_signing: Json | None = None


@frozen(kw_only=True)
class ListState:
    """What is known of a list beside its keys. See the migration for the words."""

    stream_id: int | None = None
    update_id: int | None = None
    stale: bool = True
    version: int = 0
    failures: int = 0
    retry_ms: int = 0
    master: Json | None = None
    self_signing: Json | None = None


_STATE = "user_id, stream_id, update_id, stale, version, failures, retry_ms, master, self_signing"


def _state(row: tuple[Any, ...]) -> ListState:
    stream_id, update_id, stale, version, failures, retry_ms, master, self_signing = row[1:]
    return ListState(
        stream_id=stream_id,
        update_id=update_id,
        stale=stale,
        version=version,
        failures=failures,
        retry_ms=retry_ms,
        master=None if master is None else orjson.loads(master),
        self_signing=None if self_signing is None else orjson.loads(self_signing),
    )


def find_states(cur: Cursor, user_ids: Sequence[str]) -> dict[str, ListState]:
    """Those of the lists that are kept. One statement."""
    cur.execute(f"SELECT {_STATE} FROM remote_device_lists WHERE user_id = ANY(%s)", (list(user_ids),))
    return {row[0]: _state(row) for row in cur}


def find_keys(cur: Cursor, user_ids: Sequence[str]) -> dict[str, RemoteKeys]:
    """The keys of those whose lists are kept and not stale."""
    cur.execute(f"SELECT {_STATE} FROM remote_device_lists WHERE user_id = ANY(%s) AND NOT stale", (list(user_ids),))
    devices: dict[str, dict[str, Json]] = {}
    states = {row[0]: _state(row) for row in cur}
    cur.execute("SELECT user_id, device_id, json FROM remote_devices WHERE user_id = ANY(%s)", (list(states),))
    for user_id, device_id, text in cur:
        devices.setdefault(user_id, {})[device_id] = orjson.loads(text)
    return {
        user_id: RemoteKeys(devices=devices.get(user_id, {}), master=state.master, self_signing=state.self_signing)
        for user_id, state in states.items()
    }


def begin_lists(cur: Cursor, user_ids: Sequence[str], retry_ms: int) -> dict[str, ListState]:
    """The lists of these users, those that were not kept now stale. Who asks is going to fetch them."""
    cur.execute(
        "INSERT INTO remote_device_lists (user_id, stale, retry_ms) SELECT DISTINCT u, true, %s FROM unnest(%s) AS u"
        " ON CONFLICT DO NOTHING",
        (retry_ms, list(user_ids)),
    )
    return find_states(cur, user_ids)


def put_list(cur: Cursor, user_id: str, version: int, stream_id: int | None, keys: RemoteKeys) -> None:
    """A list as it was fetched. Raises: Outdated, if something was told since the fetch began."""
    cur.execute(
        "UPDATE remote_device_lists SET stream_id = %s, stale = false, master = %s, self_signing = %s, failures = 0,"
        " retry_ms = 0 WHERE user_id = %s AND version = %s",
        (stream_id, _text(keys.master), _text(keys.self_signing), user_id, version),
    )
    if cur.rowcount != 1:
        raise Outdated
    cur.execute("DELETE FROM remote_devices WHERE user_id = %s", (user_id,))
    put_devices(cur, user_id, keys.devices)


def put_first_lists(cur: Cursor, lists: Mapping[str, RemoteKeys]) -> None:
    """Lists that were fetched for the first time, their versions not known; without those told of meanwhile."""
    cur.execute(
        "UPDATE remote_device_lists r SET stale = false, master = v.master, self_signing = v.self_signing"
        " FROM unnest(%s::text[], %s::text[], %s::text[]) AS v (user_id, master, self_signing)"
        " WHERE r.user_id = v.user_id AND r.version = 0 AND r.stale RETURNING r.user_id",
        (
            list(lists),
            [_text(keys.master) for keys in lists.values()],
            [_text(keys.self_signing) for keys in lists.values()],
        ),
    )
    for user_id in [user_id for (user_id,) in cur]:
        put_devices(cur, user_id, lists[user_id].devices)


def put_devices(cur: Cursor, user_id: str, devices: Mapping[str, Json]) -> None:
    cur.execute(
        "INSERT INTO remote_devices (user_id, device_id, json) SELECT %(user)s, v.device_id, v.json"
        " FROM unnest(%(ids)s::text[], %(texts)s::text[]) AS v (device_id, json)"
        " WHERE (SELECT count(*) FROM remote_devices WHERE user_id = %(user)s) < %(most)s"
        " ON CONFLICT (user_id, device_id) DO UPDATE SET json = excluded.json",
        {
            "user": user_id,
            "ids": list(devices),
            "texts": [_text(keys) for keys in devices.values()],
            "most": MAX_DEVICES,
        },
    )


def put_update(cur: Cursor, user_id: str, version: int, update_id: int, device_id: str, keys: Json | None) -> None:
    """One device changed, or is gone (None). Raises: Outdated."""
    cur.execute(
        "UPDATE remote_device_lists SET update_id = %s, version = version + 1 WHERE user_id = %s AND version = %s",
        (update_id, user_id, version),
    )
    if cur.rowcount != 1:
        raise Outdated
    if keys is None:
        cur.execute("DELETE FROM remote_devices WHERE user_id = %s AND device_id = %s", (user_id, device_id))
    else:
        put_devices(cur, user_id, {device_id: keys})


def put_signing_keys(cur: Cursor, user_id: str, version: int, master: Json | None, self_signing: Json | None) -> None:
    """New cross-signing keys. Raises: Outdated."""
    cur.execute(
        "UPDATE remote_device_lists SET master = %s, self_signing = %s, version = version + 1"
        " WHERE user_id = %s AND version = %s",
        (_text(master), _text(self_signing), user_id, version),
    )
    if cur.rowcount != 1:
        raise Outdated


def set_update(cur: Cursor, user_id: str, update_id: int | None, *, stale: bool, retry_ms: int) -> None:
    """An update was told that changes no device: the list contains it, or is stale now until it is fetched."""
    cur.execute(
        "UPDATE remote_device_lists SET update_id = coalesce(%s, update_id), stale = stale OR %s,"
        " version = version + 1, retry_ms = CASE WHEN stale THEN least(retry_ms, %s) ELSE %s END WHERE user_id = %s",
        (update_id, stale, retry_ms, retry_ms, user_id),
    )


def put_failures(cur: Cursor, failures: Mapping[str, tuple[int, int]]) -> None:
    """Lists could not be fetched: how often not, and when to try again, by user."""
    cur.execute(
        "UPDATE remote_device_lists r SET failures = v.failures, retry_ms = v.retry_ms"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS v (user_id, failures, retry_ms)"
        " WHERE r.user_id = v.user_id AND r.stale",
        (list(failures), [count for count, _ in failures.values()], [retry_ms for _, retry_ms in failures.values()]),
    )


def claim_stale(cur: Cursor, now_ms: int, until_ms: int, limit: int) -> list[str]:
    """Users whose lists are to be fetched now, the longest due first. Nobody else gets them before `until_ms`."""
    cur.execute(
        "UPDATE remote_device_lists SET retry_ms = %s WHERE user_id IN (SELECT user_id FROM remote_device_lists"
        " WHERE stale AND retry_ms <= %s ORDER BY retry_ms LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING user_id",
        (until_ms, now_ms, limit),
    )
    return [user_id for (user_id,) in cur]


# `server` is ours; rooms count that it and the user have been in since before `before`.
_SHARED = """
    SELECT DISTINCT m.user_id FROM memberships m JOIN room_servers s USING (room_nid)
    WHERE m.user_id = ANY(%(users)s) AND m.membership = 'join' AND m.position < %(before)s
    AND s.server = %(server)s AND s.until IS NULL AND s.since < %(before)s
"""
_EVER = 2**63 - 1


def sharing_with(cur: Cursor, server: str, user_ids: Iterable[str], before: int = _EVER) -> set[str]:
    """Those of the users who are in a room with the server, and were before that position. One statement."""
    cur.execute(_SHARED, {"users": list(user_ids), "server": server, "before": before})
    return {user_id for (user_id,) in cur}


def is_in_room(cur: Cursor, server: str, room_nid: int, before: int) -> bool:
    """Is the server in the room, and was it before that position? One statement."""
    cur.execute(
        "SELECT 1 FROM room_servers WHERE room_nid = %s AND server = %s AND until IS NULL AND since < %s",
        (room_nid, server, before),
    )
    return cur.fetchone() is not None


def kept_in_room(cur: Cursor, room_nid: int) -> list[str]:
    """Users whose lists are kept and who are, or once were, in the room. One statement."""
    cur.execute(
        "SELECT r.user_id FROM remote_device_lists r JOIN memberships m USING (user_id) WHERE m.room_nid = %s",
        (room_nid,),
    )
    return [user_id for (user_id,) in cur]


def drop_unshared(cur: Cursor, server: str, user_ids: Sequence[str], before: int = _EVER) -> None:
    """Drops the lists of those who did not share a room with the server before that position."""
    sharing = sharing_with(cur, server, user_ids, before)
    gone = [user_id for user_id in user_ids if user_id not in sharing]
    cur.execute("DELETE FROM remote_devices WHERE user_id = ANY(%s)", (gone,))
    cur.execute("DELETE FROM remote_device_lists WHERE user_id = ANY(%s)", (gone,))


def kept_after(cur: Cursor, user_id: str, limit: int) -> list[str]:
    """Users whose lists are kept, in order, from behind this one. One statement."""
    cur.execute(
        "SELECT user_id FROM remote_device_lists WHERE user_id > %s ORDER BY user_id LIMIT %s", (user_id, limit)
    )
    return [user_id for (user_id,) in cur]


def _text(keys: Json | None) -> str | None:
    return None if keys is None else orjson.dumps(keys).decode()
