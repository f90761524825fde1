"""Which of the signatures that a user uploads are good. Pure.

A user may upload signatures by the self-signing key of own devices, by own devices of the master key, and by the
user-signing key of others' master keys. The object that comes with a signature must be the key that we have.

Source: client-server API, "Cross-signing"; POST /keys/signatures/upload.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import field, frozen

from homeserver.services.e2ee.shapes import CrossSigningKey, read_cross_signing_key
from matrix import signing
from matrix.errors import BadRequest, BadSignature, InvalidParam, MatrixError, NotFound
from matrix.ids import UserId
from storage.device_keys import PublishedKeys

Json = dict[str, Any]

# Of a key id and of a signature, which has 86 characters.
MAX_BYTES = 255


@frozen
class NewSignature:
    """A good signature that we do not have yet. `target` is a device id or the public key of a master key."""

    target_user_id: str
    target: str
    signer_key_id: str
    signature: str


@frozen
class Outcome:
    """`failures`: user -> key -> standard error, as the answer wants them."""

    good: list[NewSignature] = field(factory=list)
    failures: dict[str, dict[str, Json]] = field(factory=dict)

    def fail(self, user_id: str, target: str, error: MatrixError) -> None:
        self.failures.setdefault(str(user_id), {})[target] = error.body()


def check_uploaded(signer: UserId, uploaded: Mapping[UserId, Json], published: Mapping[str, PublishedKeys]) -> Outcome:
    """Sorts the signatures into good ones and failures. `published` has the keys of the signer and all targets."""
    outcome = Outcome()
    own = published[signer]
    for user_id, keys in uploaded.items():
        for target, key in keys.items():
            try:
                if user_id == signer:
                    outcome.good.extend(_check_own(signer, target, key, own))
                else:
                    outcome.good.extend(_check_other(signer, own, user_id, target, key, published[user_id]))
            except MatrixError as error:
                outcome.fail(user_id, target, error)
    return outcome


def _check_own(signer: UserId, target: str, key: Json, own: PublishedKeys) -> list[NewSignature]:
    """A device signed by the self-signing key, or the master key signed by devices."""
    master = _cross_signing_key(own, signer, "master")
    if target == master.public:
        return _check_master(signer, key, own, master)
    self_signing = _cross_signing_key(own, signer, "self_signing")
    signature = _signature_of(key, signer, self_signing.key_id)
    device = own.devices.get(target)
    if device is None:
        raise NotFound("Unknown device")
    stored = orjson.loads(device)
    if self_signing.key_id in stored.get("signatures", {}).get(signer, {}):
        return []
    _check(key, stored, signer, self_signing)
    return [NewSignature(signer, target, self_signing.key_id, signature)]


def _check_master(signer: UserId, key: Json, own: PublishedKeys, master: CrossSigningKey) -> list[NewSignature]:
    good = []
    known = master.raw.get("signatures", {}).get(signer, {})
    for key_id, signature in _signatures_of(key, signer).items():
        if known.get(key_id) == signature:
            continue
        device = own.devices.get(key_id.partition(":")[2])
        public = None if device is None else orjson.loads(device)["keys"].get(key_id)
        if public is None or not key_id.startswith(f"{signing.ALGORITHM}:"):
            raise _invalid_signature()
        _check(key, master.raw, signer, CrossSigningKey(key_id, public, _verify_key(public), {}))
        good.append(NewSignature(signer, master.public, key_id, signature))
    return good


def _check_other(
    signer: UserId, own: PublishedKeys, user_id: UserId, target: str, key: Json, theirs: PublishedKeys
) -> list[NewSignature]:
    """Another user's master key signed by the signer's user-signing key."""
    user_signing = _cross_signing_key(own, signer, "user_signing")
    master = _cross_signing_key(theirs, user_id, "master")
    if target != master.public:
        raise NotFound("Unknown device")
    signature = _signature_of(key, signer, user_signing.key_id)
    if user_signing.key_id in own.signed.get(user_id, {}).get(target, {}):
        return []
    _check(key, master.raw, signer, user_signing)
    return [NewSignature(user_id, target, user_signing.key_id, signature)]


def _cross_signing_key(keys: PublishedKeys, user_id: UserId, usage: str) -> CrossSigningKey:
    raw = keys.cross_signing.get(usage)
    if raw is None:
        raise NotFound(f"No {usage} key found for {user_id}")
    try:
        return read_cross_signing_key(raw, user_id, usage)
    except InvalidParam as error:
        # What came from another server may be anything.
        raise NotFound(f"No valid {usage} key found for {user_id}") from error


def _signatures_of(key: Json, signer: UserId) -> dict[str, str]:
    """The signer's signatures of the key, at least one. Raises: BadRequest M_INVALID_SIGNATURE."""
    signatures = key.get("signatures")
    by_signer = signatures.get(signer) if isinstance(signatures, dict) else None
    if not isinstance(by_signer, dict) or not by_signer:
        raise _invalid_signature()
    for key_id, signature in by_signer.items():
        if not isinstance(signature, str) or "\x00" in key_id or max(len(key_id), len(signature)) > MAX_BYTES:
            raise _invalid_signature()
    return by_signer


def _signature_of(key: Json, signer: UserId, key_id: str) -> str:
    signature = _signatures_of(key, signer).get(key_id)
    if signature is None:
        raise _invalid_signature()
    return signature


def _check(signed: Json, stored: Json, signer: UserId, by: CrossSigningKey) -> None:
    """Is it the key that we have, and the signature good? Raises: BadRequest."""
    if _bare(signed) != _bare(stored):
        raise BadRequest("Key does not match", "M_UNKNOWN")
    try:
        signing.verify_json(signed, signer, by.key_id, by.verify_key)
    except BadSignature as error:
        raise _invalid_signature() from error


def _bare(key: Json) -> Json:
    return {name: value for name, value in key.items() if name not in ("signatures", "unsigned")}


def _verify_key(public: str) -> Any:
    try:
        return signing.verify_key_from_base64(public)
    except BadSignature as error:
        raise _invalid_signature() from error


def _invalid_signature() -> BadRequest:
    return BadRequest("Invalid signature", "M_INVALID_SIGNATURE")
