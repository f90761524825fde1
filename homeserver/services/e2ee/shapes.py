"""The shapes of keys that clients upload or ask for, checked once. Pure.

Source: client-server API, "Key management API" and "Cross-signing".
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from nacl.signing import VerifyKey

from matrix import signing
from matrix.errors import BadRequest, BadSignature, InvalidParam
from matrix.ids import BadIdentifier, UserId

Json = dict[str, Any]

# Of algorithms, key ids and device ids: as of every identifier.
MAX_NAME_BYTES = 255
# What a query or a claim may ask for at once: above the members of the largest encrypted rooms.
MAX_USERS = 10_000
MAX_CLAIMS = 10_000


@frozen
class NewKey:
    """A one-time or fallback key as it is uploaded: an object, or for unsigned algorithms a text."""

    algorithm: str
    key_id: str
    value: Any


@frozen
class CrossSigningKey:
    """A cross-signing key. `key_id` is "ed25519:" and `public`; `raw` the object as it was uploaded."""

    key_id: str
    public: str
    verify_key: VerifyKey
    raw: Json


def read_device_keys(raw: Any, user_id: str, device_id: str) -> Json:
    """The device's identity keys, which must be the caller's own. Their signature is the clients' to check.

    Also that there is one: keys that are not signed have long been taken by servers, and are of no use to anybody.
    Raises: BadRequest.
    """
    keys = _object(raw, "device_keys")
    if _text(keys.get("user_id"), "device_keys.user_id") != user_id:
        raise BadRequest("device_keys.user_id is not the user who uploads them")
    if _text(keys.get("device_id"), "device_keys.device_id") != device_id:
        raise BadRequest("device_keys.device_id is not the device that uploads them")
    algorithms = keys.get("algorithms")
    if not isinstance(algorithms, list) or not all(isinstance(algorithm, str) for algorithm in algorithms):
        raise BadRequest("device_keys.algorithms must be an array of strings")
    _texts_by_name(keys.get("keys"), "device_keys.keys")
    _check_signatures(keys.get("signatures", {}), "device_keys.signatures")
    return keys


def read_new_keys(raw: Any, name: str) -> list[NewKey]:
    """One-time or fallback keys, by `<algorithm>:<key_id>`. Raises: BadRequest."""
    if raw is None:
        return []
    return [_read_new_key(key, value, name) for key, value in _object(raw, name).items()]


def _read_new_key(key: str, value: Any, name: str) -> NewKey:
    algorithm, colon, key_id = key.partition(":")
    if not algorithm or not colon or ":" in key_id or not _is_name(key):
        raise BadRequest(f"{name}: {key[:80]!r} is not <algorithm>:<key_id>")
    if not isinstance(value, str):
        where = f"{name}.{key}"
        fields = _object(value, where)
        _text(fields.get("key"), f"{where}.key")
        _check_signatures(fields.get("signatures"), f"{where}.signatures")
        if not isinstance(fields.get("fallback", False), bool | None):
            raise BadRequest(f"{where}.fallback must be a boolean")
    return NewKey(algorithm, key_id, value)


def read_query(raw: Any) -> dict[UserId, list[str]]:
    """The devices asked for, by user; none means all. Raises: BadRequest, InvalidParam."""
    wanted = _by_user(raw, "device_keys", MAX_USERS)
    for user_id, device_ids in wanted.items():
        if not isinstance(device_ids, list) or not all(isinstance(device_id, str) for device_id in device_ids):
            raise BadRequest(f"device_keys.{user_id} must be an array of strings")
    return wanted


def read_claim(raw: Any) -> dict[UserId, dict[str, str]]:
    """The algorithm asked for, by user and device. Raises: BadRequest, InvalidParam."""
    wanted = _by_user(raw, "one_time_keys", MAX_USERS)
    for user_id, algorithms in wanted.items():
        for device_id, algorithm in _object(algorithms, f"one_time_keys.{user_id}").items():
            if not isinstance(algorithm, str):
                raise BadRequest(f"one_time_keys.{user_id}.{device_id[:80]} must be the name of an algorithm")
            if not _is_name(device_id) or not _is_name(algorithm):
                raise InvalidParam(f"one_time_keys.{user_id} names a device or an algorithm that cannot be")
    if sum(map(len, wanted.values())) > MAX_CLAIMS:
        raise InvalidParam(f"More than {MAX_CLAIMS} keys at once")
    return wanted


def read_cross_signing_key(raw: Any, user_id: str, usage: str) -> CrossSigningKey:
    """A cross-signing key of the user for this usage. Raises: InvalidParam."""
    try:
        if raw["user_id"] == user_id and usage in raw["usage"] and not isinstance(raw["usage"], str):
            ((key_id, public),) = raw["keys"].items()
            if key_id == f"{signing.ALGORITHM}:{public}" and _is_name(key_id):
                _check_signatures(raw.get("signatures", {}), "signatures")
                return CrossSigningKey(key_id, public, signing.verify_key_from_base64(public), raw)
    except (TypeError, KeyError, ValueError, AttributeError, BadRequest, BadSignature):
        # Whatever is wrong with it, the client hears one thing.
        pass
    raise InvalidParam(f"Invalid {usage} key")


def is_same_key(old: Any, new: Any) -> bool:
    """Is it the same key, uploaded again? Its signatures may differ: signing is not always deterministic."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return bool(old == new)
    return without_signatures(old) == without_signatures(new)


def without_signatures(key: Mapping[str, Any]) -> Json:
    return {name: value for name, value in key.items() if name != "signatures"}


def _by_user(raw: Any, name: str, most: int) -> dict[UserId, Any]:
    users = _object(raw, name)
    if len(users) > most:
        raise InvalidParam(f"{name} has more than {most} users")
    try:
        return {UserId.parse(user_id): value for user_id, value in users.items()}
    except BadIdentifier as error:
        raise InvalidParam(f"{name}: {error}") from error


def _check_signatures(raw: Any, name: str) -> None:
    for signer, signatures in _object(raw, name).items():
        _texts_by_name(signatures, f"{name}.{signer[:80]}")


def _texts_by_name(raw: Any, name: str) -> None:
    if not all(isinstance(value, str) for value in _object(raw, name).values()):
        raise BadRequest(f"{name} must have strings only")


def _object(raw: Any, name: str) -> Json:
    if not isinstance(raw, dict):
        raise BadRequest(f"{name} must be an object")
    return raw


def _text(raw: Any, name: str) -> str:
    if not isinstance(raw, str):
        raise BadRequest(f"{name} must be a string")
    return raw


def _is_name(text: str) -> bool:
    """Can it be a key of a row?"""
    return "\x00" not in text and len(text.encode()) <= MAX_NAME_BYTES
