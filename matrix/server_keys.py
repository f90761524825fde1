"""What a server publishes of its signing keys: read from outside, and written for others.

Source: server-server API, "Retrieving server keys".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen
from nacl.signing import VerifyKey

from matrix import signing, unpadded_base64
from matrix.errors import BadSignature
from matrix.events import Json
from matrix.ids import BadIdentifier, ServerName
from matrix.signing import SigningKey

# "valid_until_ts ... at most 7 days in the future": room version 5, "Signing key validity period".
LONGEST_VALID_MS = 7 * 24 * 3600 * 1000
# A server has one or two keys in use, and each rotation leaves an old one.
MAX_KEYS = 256
MAX_SIGNATURES = 16
MAX_TIME_MS = 2**53 - 1
_KEY_ID = re.compile(r"ed25519:[A-Za-z0-9_]{1,200}")


@frozen
class KnownKey:
    """A key of another server: signatures made until `valid_until_ms` are good.

    An old one is good for events of that time only, not for requests.
    """

    verify_key: VerifyKey
    valid_until_ms: int
    is_old: bool = False

    def signs_requests_at(self, now_ms: int) -> bool:
        return not self.is_old and self.valid_until_ms >= now_ms


@frozen
class KeyAnswer:
    """What a server says of its keys, checked to be signed by itself. `json` is as it came."""

    server_name: ServerName
    valid_until_ms: int
    keys: Mapping[str, KnownKey]
    json: Json = field(repr=False)


def read_key_answer(value: Any, now_ms: int, expected: ServerName | None = None) -> KeyAnswer:
    """The keys that a server publishes. One of its keys in use must have signed it, and none of them wrongly.

    Keys of algorithms that we do not know, and signatures by keys that are not in it, are passed over.

    Raises: BadSignature.
    """
    obj = _object(value, "the answer")
    name = obj.get("server_name")
    if not isinstance(name, str) or (expected is not None and name != expected):
        raise BadSignature("the keys are of another server")
    try:
        server_name = ServerName.parse(name)
    except BadIdentifier as error:
        raise BadSignature(str(error)) from error
    valid_until_ms = min(_time(obj.get("valid_until_ts")), now_ms + LONGEST_VALID_MS)
    in_use = _keys(obj, "verify_keys")
    keys = {
        key_id: KnownKey(key, _time(fields.get("expired_ts")), is_old=True)
        for key_id, (key, fields) in _keys(obj, "old_verify_keys").items()
    }
    keys.update({key_id: KnownKey(key, valid_until_ms) for key_id, (key, _) in in_use.items()})
    _check_own_signature(obj, server_name, {key_id: key for key_id, (key, _) in in_use.items()})
    return KeyAnswer(server_name, valid_until_ms, keys, obj)


def check_notary_signature(answer: Json, notary: ServerName, keys: Mapping[str, VerifyKey]) -> None:
    """Raises: BadSignature, unless the notary has signed the answer with one of its keys."""
    used = [key_id for key_id in signing.key_ids_of(answer, notary)[:MAX_SIGNATURES] if key_id in keys]
    if not used:
        raise BadSignature(f"no signature of the notary {notary} by a key of its own")
    for key_id in used:
        signing.verify_json(answer, notary, key_id, keys[key_id])


@frozen
class OldKey:
    """A key of ours that signs no more. `expired_ms`: since when."""

    verify_key: VerifyKey
    expired_ms: int


def publish(
    server_name: ServerName, keys: Sequence[SigningKey], old: Mapping[str, OldKey], valid_until_ms: int
) -> Json:
    """What we tell of our keys, signed by all that are in use."""
    answer: Json = {
        "server_name": str(server_name),
        "valid_until_ts": valid_until_ms,
        "verify_keys": {key.key_id: {"key": _base64(key.verify_key)} for key in keys},
        "old_verify_keys": {
            key_id: {"key": _base64(each.verify_key), "expired_ts": each.expired_ms} for key_id, each in old.items()
        },
    }
    for key in keys:
        answer = signing.sign_json(answer, str(server_name), key)
    return answer


def _check_own_signature(obj: Json, server_name: ServerName, in_use: Mapping[str, VerifyKey]) -> None:
    used = [key_id for key_id in signing.key_ids_of(obj, server_name)[:MAX_SIGNATURES] if key_id in in_use]
    if not used:
        raise BadSignature("the server has not signed its keys")
    for key_id in used:
        signing.verify_json(obj, server_name, key_id, in_use[key_id])


def _keys(obj: Json, name: str) -> dict[str, tuple[VerifyKey, Json]]:
    raw = _object(obj.get(name, {}), name)
    if len(raw) > MAX_KEYS:
        raise BadSignature(f"more than {MAX_KEYS} keys")
    found = {}
    for key_id, fields in raw.items():
        if _KEY_ID.fullmatch(key_id):
            fields = _object(fields, "a key")
            text = fields.get("key")
            found[key_id] = (signing.verify_key_from_base64(text if isinstance(text, str) else ""), fields)
    return found


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise BadSignature(f"{what} is no object")
    return value


def _time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TIME_MS:
        raise BadSignature("a time of the keys is no time")
    return value


def _base64(key: VerifyKey) -> str:
    return unpadded_base64.encode(bytes(key))
