"""What another server says of its users' keys, with all left out that cannot be. Pure.

A server can say of its own users whatever it likes, so that signatures by their devices are the clients' to check, as
those that come from our own users are. What is looked at here: that nothing is said of anybody else, that it has the
shape which clients rely on, and that it is of bounded size.

Source: server-server API, "Device Management" and "End-to-End Encryption".
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

import orjson

from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.shapes import MAX_NAME_BYTES
from matrix import signing
from matrix.errors import BadRequest, BadSignature, InvalidParam
from storage.remote_devices import MAX_DEVICES, RemoteKeys

Json = dict[str, Any]

# Of one device's or one-time key's JSON: whoever shares a room with the device is sent it again and again.
MAX_KEY_BYTES = 65_536
MAX_DISPLAY_NAME_BYTES = 1_024
# stream_id is a canonical integer.
MAX_STREAM_ID = 2**53 - 1


class BadList(Exception):
    """The answer is no device list of the user."""


def read_device_list(answer: Json, user_id: str) -> tuple[int, RemoteKeys]:
    """The stream_id and the keys of an answer of user/devices. Raises: BadList."""
    stream_id, devices = answer.get("stream_id"), answer.get("devices")
    if answer.get("user_id") != user_id or not is_stream_id(stream_id) or not isinstance(devices, list):
        raise BadList("not a device list of the user")
    found: dict[str, Json] = {}
    for device in devices if len(devices) <= MAX_DEVICES else ():
        keys = read_listed_device(device, user_id)
        if keys is not None:
            found[keys["device_id"]] = keys
    return stream_id, with_signing_keys(user_id, found, answer.get("master_key"), answer.get("self_signing_key"))


def read_listed_device(raw: Any, user_id: str) -> Json | None:
    """Keys of a device of user/devices or m.device_list_update, as clients get them. None if there are none."""
    if not isinstance(raw, dict):
        return None
    keys = read_device(raw.get("keys"), user_id, raw.get("device_id"))
    if keys is None:
        return None
    name = raw.get("device_display_name")
    return {**keys, "unsigned": {} if not _is_display_name(name) else {"device_display_name": name}}


def read_device(raw: Any, user_id: str, device_id: Any) -> Json | None:
    """Keys of a device, without `unsigned`; None if they can be no keys of this one."""
    if not is_name(device_id) or not isinstance(raw, dict):
        return None
    keys = {name: value for name, value in raw.items() if name != "unsigned"}
    try:
        shapes.read_device_keys(keys, user_id, device_id)
    except BadRequest:
        return None
    return keys if _is_small(keys) else None


def with_signing_keys(user_id: str, devices: Mapping[str, Json], master: Any, self_signing: Any) -> RemoteKeys:
    """The keys of a user. A self-signing key that the master key has not signed is none."""
    master_key = _read_signing_key(master, user_id, "master")
    self_signing_key = _read_signing_key(self_signing, user_id, "self_signing")
    if master_key is None or (self_signing_key is not None and not _has_signed(user_id, master_key, self_signing_key)):
        self_signing_key = None
    return RemoteKeys(devices=devices, master=master_key, self_signing=self_signing_key)


def read_query_answer(answer: Json, user_id: str) -> RemoteKeys:
    """What an answer of user/keys/query says of a user; nothing, if it says nothing that can be."""
    devices = _member(answer.get("device_keys"), user_id)
    found: dict[str, Json] = {}
    if isinstance(devices, dict) and len(devices) <= MAX_DEVICES:
        for device_id, raw in devices.items():
            keys = read_device(raw, user_id, device_id)
            if keys is not None:
                unsigned = raw.get("unsigned")
                name = unsigned.get("device_display_name") if isinstance(unsigned, dict) else None
                found[device_id] = {**keys, "unsigned": {"device_display_name": name} if _is_display_name(name) else {}}
    return with_signing_keys(
        user_id, found, _member(answer.get("master_keys"), user_id), _member(answer.get("self_signing_keys"), user_id)
    )


def read_claimed(answer: Json, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Json]]:
    """The keys of an answer of user/keys/claim, by user and device: at most one for each that was asked for."""
    found: dict[str, dict[str, Json]] = {}
    for user_id, algorithms in wanted.items():
        devices = _member(answer.get("one_time_keys"), user_id)
        for device_id, algorithm in algorithms.items():
            key = _read_one_time_key(_member(devices, device_id), algorithm)
            if key is not None:
                found.setdefault(str(user_id), {})[device_id] = key
    return found


def is_stream_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STREAM_ID


def is_name(value: Any) -> TypeGuard[str]:
    """Can it be the name of a device?"""
    return isinstance(value, str) and bool(value) and "\x00" not in value and len(value.encode()) <= MAX_NAME_BYTES


def _read_one_time_key(raw: Any, algorithm: str) -> Json | None:
    if not isinstance(raw, dict) or len(raw) != 1:
        return None
    try:
        (key,) = shapes.read_new_keys(raw, "one_time_keys")
    except BadRequest:
        return None
    return raw if key.algorithm == algorithm and _is_small(raw) else None


def _read_signing_key(raw: Any, user_id: str, usage: str) -> Json | None:
    if raw is None:
        return None
    try:
        key = shapes.read_cross_signing_key(raw, user_id, usage).raw
    except InvalidParam:
        return None
    key = {name: value for name, value in key.items() if name != "unsigned"}
    return key if _is_small(key) else None


def _has_signed(user_id: str, master: Json, self_signing: Json) -> bool:
    by = shapes.read_cross_signing_key(master, user_id, "master")
    try:
        signing.verify_json(self_signing, user_id, by.key_id, by.verify_key)
    except BadSignature:
        return False
    return True


def _member(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, dict) else None


def _is_display_name(raw: Any) -> bool:
    return isinstance(raw, str) and len(raw.encode()) <= MAX_DISPLAY_NAME_BYTES


def _is_small(keys: Json) -> bool:
    return len(orjson.dumps(keys)) <= MAX_KEY_BYTES
