"""One-time keys, each handed out once in the order of upload, and the fallback keys for when they run out.

Source: client-server API, "One-time and fallback keys".
"""

from collections.abc import Sequence
from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Custom
from storage.prepared import Often

_COLUMNS = {"user_id": "text", "device_id": "text", "algorithm": "text", "key_id": "text", "json": "text"}
# A device may have been deleted since the request was authenticated: then there is nothing to put.
ADD = Custom(
    _COLUMNS,
    "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, json)"
    " SELECT v.user_id, v.device_id, v.algorithm, v.key_id, v.json FROM {v} JOIN devices USING (user_id, device_id)"
    " ON CONFLICT DO NOTHING",
)
PUT_FALLBACK = Custom(
    _COLUMNS,
    "INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, json)"
    " SELECT v.user_id, v.device_id, v.algorithm, v.key_id, v.json FROM {v} JOIN devices USING (user_id, device_id)"
    " ON CONFLICT (user_id, device_id, algorithm)"
    " DO UPDATE SET key_id = excluded.key_id, json = excluded.json, used = false",
    key_indexes=(0, 1, 2),
)


@frozen
class Slot:
    """Whose key of which algorithm."""

    user_id: str
    device_id: str
    algorithm: str


@frozen
class Key:
    """A key as it was uploaded, `text` being its JSON."""

    algorithm: str
    key_id: str
    text: str


@frozen
class Available:
    """What can be had for a slot: a one-time key, or the fallback key."""

    one_time: bool
    fallback: Key | None
    fallback_used: bool


@frozen
class Counts:
    """How many one-time keys a device has left by algorithm, and the algorithms whose fallback key is unused."""

    one_time: dict[str, int]
    unused_fallback: list[str]


def find_one_time_keys(cur: Cursor, user_id: str, device_id: str, key_ids: list[str]) -> dict[tuple[str, str], str]:
    """The JSON of those keys that are there, by algorithm and key id."""
    cur.execute(
        Often(
            "SELECT algorithm, key_id, json FROM one_time_keys"
            " WHERE user_id = %s AND device_id = %s AND key_id = ANY(%s)"
        ),
        (user_id, device_id, key_ids),
    )
    return {(algorithm, key_id): text for algorithm, key_id, text in cur}


def find_fallback_keys(cur: Cursor, user_id: str, device_id: str) -> dict[str, tuple[str, Any]]:
    """Key id and key by algorithm."""
    cur.execute(
        Often("SELECT algorithm, key_id, json FROM fallback_keys WHERE user_id = %s AND device_id = %s"),
        (user_id, device_id),
    )
    return {algorithm: (key_id, orjson.loads(text)) for algorithm, key_id, text in cur}


def find_counts(cur: Cursor, user_id: str, device_id: str) -> Counts:
    cur.execute(
        Often(
            "SELECT algorithm, count(*) FROM one_time_keys WHERE user_id = %s AND device_id = %s"
            " GROUP BY algorithm UNION ALL SELECT algorithm, NULL FROM fallback_keys"
            " WHERE user_id = %s AND device_id = %s AND NOT used"
        ),
        (user_id, device_id, user_id, device_id),
    )
    counts = Counts({}, [])
    for algorithm, count in cur:
        if count is None:
            counts.unused_fallback.append(algorithm)
        else:
            counts.one_time[algorithm] = count
    return counts


_SLOTS = "unnest(%s::text[], %s::text[], %s::text[]) AS v (user_id, device_id, algorithm)"


def _arrays(slots: Sequence[Slot]) -> tuple[list[str], list[str], list[str]]:
    return (
        [slot.user_id for slot in slots],
        [slot.device_id for slot in slots],
        [slot.algorithm for slot in slots],
    )


def find_available(cur: Cursor, slots: Sequence[Slot]) -> dict[Slot, Available]:
    """What can be had now for those slots that have anything."""
    cur.execute(
        "SELECT v.user_id, v.device_id, v.algorithm, f.key_id, f.json, f.used, EXISTS (SELECT 1 FROM one_time_keys o"
        " WHERE o.user_id = v.user_id AND o.device_id = v.device_id AND o.algorithm = v.algorithm)"
        f" FROM {_SLOTS} LEFT JOIN fallback_keys f USING (user_id, device_id, algorithm)",
        _arrays(slots),
    )
    return {
        Slot(user_id, device_id, algorithm): Available(
            one_time, None if key_id is None else Key(algorithm, key_id, text), bool(used)
        )
        for user_id, device_id, algorithm, key_id, text, used, one_time in cur
        if one_time or key_id is not None
    }


def take(cur: Cursor, slots: Sequence[Slot]) -> dict[Slot, Key]:
    """A key for each slot that has any: the oldest one-time key, which is then gone, else the fallback key.

    Needs a transaction. Rows that another one is taking are skipped, so that no key can be had twice. Each slot may
    stand only once.
    """
    taken = _take_one_time(cur, slots)
    if rest := [slot for slot in slots if slot not in taken]:
        taken |= _use_fallback(cur, rest)
    return taken


def _take_one_time(cur: Cursor, slots: Sequence[Slot]) -> dict[Slot, Key]:
    cur.execute(
        f"WITH oldest AS (SELECT k.user_id, k.device_id, k.algorithm, k.key_id FROM {_SLOTS}"
        " CROSS JOIN LATERAL (SELECT * FROM one_time_keys o WHERE o.user_id = v.user_id AND o.device_id = v.device_id"
        " AND o.algorithm = v.algorithm ORDER BY o.nid LIMIT 1 FOR UPDATE SKIP LOCKED) k)"
        " DELETE FROM one_time_keys t USING oldest WHERE t.user_id = oldest.user_id"
        " AND t.device_id = oldest.device_id AND t.algorithm = oldest.algorithm AND t.key_id = oldest.key_id"
        " RETURNING t.user_id, t.device_id, t.algorithm, t.key_id, t.json",
        _arrays(slots),
    )
    return _by_slot(cur)


def _use_fallback(cur: Cursor, slots: Sequence[Slot]) -> dict[Slot, Key]:
    cur.execute(
        f"UPDATE fallback_keys f SET used = true FROM {_SLOTS} WHERE f.user_id = v.user_id"
        " AND f.device_id = v.device_id AND f.algorithm = v.algorithm"
        " RETURNING f.user_id, f.device_id, f.algorithm, f.key_id, f.json",
        _arrays(slots),
    )
    return _by_slot(cur)


def _by_slot(cur: Cursor) -> dict[Slot, Key]:
    return {
        Slot(user_id, device_id, algorithm): Key(algorithm, key_id, text)
        for user_id, device_id, algorithm, key_id, text in cur
    }
