"""The keys that devices publish, and the keys of users as others may see them.

Devices themselves, with their names, are rows of `devices` (storage/devices.py). Keys without a device are not shown.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from storage import device_lists, one_time_keys, to_device
from storage.change import At, Change, Custom, Delete, Kind

Json = dict[str, Any]

# A device may have been deleted since the request was authenticated: then there is nothing to put.
PUT = Custom(
    {"user_id": "text", "device_id": "text", "json": "text"},
    "INSERT INTO device_keys (user_id, device_id, json) SELECT v.user_id, v.device_id, v.json FROM {v}"
    " JOIN devices USING (user_id, device_id)"
    " ON CONFLICT (user_id, device_id) DO UPDATE SET json = excluded.json",
    key_indexes=(0, 1),
)

_DEVICE = {"user_id": "text", "device_id": "text"}
DELETE = Delete("device_keys", _DEVICE)
DELETE_ONE_TIME_KEYS = Delete("one_time_keys", _DEVICE)
DELETE_FALLBACK_KEYS = Delete("fallback_keys", _DEVICE)
DELETE_DEHYDRATED = Delete("dehydrated_devices", _DEVICE)
# What was signed is no longer there.
DELETE_SIGNATURES_OF = Delete("key_signatures", {"target_user_id": "text", "target": "text"})


def rows_for_deleted_devices(change: Change, user_id: str, device_ids: Iterable[str]) -> None:
    """Everything that goes with devices that this change deletes: their keys, and the messages waiting for them.

    The device list change is recorded at the entries that the change announces already for this user, else announced.
    """
    for device_id in device_ids:
        for statement in (
            DELETE,
            DELETE_ONE_TIME_KEYS,
            DELETE_FALLBACK_KEYS,
            DELETE_DEHYDRATED,
            DELETE_SIGNATURES_OF,
            to_device.DELETE_OF_DEVICE,
        ):
            change.put(statement, (user_id, device_id))
        if not _record_announced(change, user_id, device_id):
            device_lists.record(change, user_id, {"device_id": device_id, "deleted": True})


def _record_announced(change: Change, user_id: str, device_id: str) -> bool:
    for entry in change.entries:
        if entry.kind is Kind.DEVICE_LIST and entry.user_id == user_id and entry.body.get("device_id") == device_id:
            change.put(device_lists.PUT, (user_id, At(entry)))
            return True
    return False


@frozen
class Uploaded:
    """What a device has uploaded: its keys; one-time keys' JSON by algorithm and id; fallback keys by algorithm."""

    device_keys: Json | None
    one_time_keys: dict[tuple[str, str], str]
    fallback_keys: dict[str, tuple[str, Any]]


def find_uploaded(cur: Cursor, user_id: str, device_id: str, key_ids: list[str]) -> Uploaded:
    """What an upload must be compared with; of one-time keys those with these ids."""
    cur.execute("SELECT json FROM device_keys WHERE user_id = %s AND device_id = %s", (user_id, device_id))
    row = cur.fetchone()
    return Uploaded(
        None if row is None else orjson.loads(row[0]),
        one_time_keys.find_one_time_keys(cur, user_id, device_id, key_ids),
        one_time_keys.find_fallback_keys(cur, user_id, device_id),
    )


def device_ids_among(cur: Cursor, user_id: str, names: list[str]) -> set[str]:
    """Those of the names that are devices of the user: no cross-signing key may be called so."""
    cur.execute("SELECT device_id FROM devices WHERE user_id = %s AND device_id = ANY(%s)", (user_id, names))
    return {device_id for (device_id,) in cur}


@frozen
class PublishedKeys:
    """What a user shows: devices as ready JSON, cross-signing keys by usage as they were uploaded.

    Signatures by the user's own keys are merged into both. `signed`: signatures that the user made of others' master
    keys, for the user's own eyes: user -> public key -> key id -> signature.
    """

    devices: dict[str, bytes] = field(factory=dict)
    cross_signing: dict[str, Json] = field(factory=dict)
    signed: dict[str, dict[str, dict[str, str]]] = field(factory=dict)


_KEYS = """
    SELECT 'device', k.user_id, k.device_id, k.json, d.display_name
    FROM device_keys k JOIN devices d USING (user_id, device_id) WHERE k.user_id = ANY(%(users)s)
    UNION ALL
    SELECT usage, user_id, key_id, json, NULL FROM cross_signing_keys WHERE user_id = ANY(%(users)s)
"""
_SIGNATURES = """
    SELECT target_user_id, target, signer_user_id, signer_key_id, signature FROM key_signatures
    WHERE target_user_id = ANY(%(users)s) AND signer_user_id = target_user_id
    UNION ALL
    SELECT target_user_id, target, signer_user_id, signer_key_id, signature FROM key_signatures
    WHERE signer_user_id = ANY(%(users)s) AND signer_user_id <> target_user_id
"""

Signatures = dict[tuple[str, str], dict[str, str]]


def find_published_keys(cur: Cursor, user_ids: list[str]) -> dict[str, PublishedKeys]:
    """What these users show; a user without any keys shows nothing, and is there nonetheless."""
    found = {user_id: PublishedKeys() for user_id in user_ids}
    own = _read_signatures(cur, found)
    cur.execute(_KEYS, {"users": user_ids})
    for usage, user_id, name, text, display_name in cur:
        keys = orjson.loads(text)
        keys_of_user = found[user_id]
        if usage == "device":
            _merge(keys, user_id, own.get((user_id, name)))
            keys["unsigned"] = {} if display_name is None else {"device_display_name": display_name}
            keys_of_user.devices[name] = orjson.dumps(keys)
        else:
            _merge(keys, user_id, own.get((user_id, name.partition(":")[2])))
            keys_of_user.cross_signing[usage] = keys
    return found


def _read_signatures(cur: Cursor, found: dict[str, PublishedKeys]) -> Signatures:
    """Those by users of their own keys, by user and target; the others are put where they belong."""
    own: Signatures = {}
    cur.execute(_SIGNATURES, {"users": list(found)})
    for target_user, target, signer, key_id, signature in cur:
        if signer == target_user:
            own.setdefault((target_user, target), {})[key_id] = signature
        else:
            found[signer].signed.setdefault(target_user, {}).setdefault(target, {})[key_id] = signature
    return own


def _merge(keys: Json, signer: str, signatures: dict[str, str] | None) -> None:
    if signatures:
        keys.setdefault("signatures", {}).setdefault(signer, {}).update(signatures)
