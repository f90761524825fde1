"""Was the acceptance of a third-party invite signed with a key that the invite names?

Source: client-server API, "m.room.third_party_invite"; specification, "Room Versions", "Authorisation rules".
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from attrs import frozen
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from matrix import canonical_json, unpadded_base64
from matrix.errors import NotCanonical

# Real invites have two keys and one or two signatures. Two events of 64 kB could ask for 100,000 verifications.
_MAX_VERIFICATIONS = 64


@frozen
class InviteKey:
    """A public key of an invite, as it stands there; where one can ask whether it has been revoked, if anywhere."""

    public_key: str
    key_validity_url: str | None


def is_signed_by_invite(signed: Mapping[str, Any], invite_content: Mapping[str, Any]) -> bool:
    """Does any Ed25519 signature of `signed` verify by any key of m.room.third_party_invite's content?

    Who signed does not matter: the invite vouches for its keys.
    """
    return next(keys_that_signed(signed, invite_content), None) is not None


def keys_that_signed(signed: Mapping[str, Any], invite_content: Mapping[str, Any]) -> Iterator[InviteKey]:
    """The keys of the invite by which a signature verifies; one may come more than once."""
    try:
        message = canonical_json.encode({k: v for k, v in signed.items() if k not in ("signatures", "unsigned")})
    except NotCanonical:
        return
    pairs = product(_public_keys(invite_content), list(_signatures(signed)))
    for (key, entry), signature in islice(pairs, _MAX_VERIFICATIONS):
        if _verifies(key, signature, message):
            url = entry.get("key_validity_url")
            yield InviteKey(entry["public_key"], url if isinstance(url, str) else None)


def _public_keys(content: Mapping[str, Any]) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    """Each key, and the object in which it stands."""
    more = content.get("public_keys")
    for entry in (content, *(more if isinstance(more, list) else ())):
        if isinstance(entry, dict):
            for key in _decoded(entry.get("public_key"), 32):
                yield key, entry


def _signatures(signed: Mapping[str, Any]) -> Iterator[bytes]:
    """In an order that does not depend on how the JSON was written, since only the first ones count."""
    servers = signed.get("signatures")
    for _, block in sorted(servers.items()) if isinstance(servers, dict) else ():
        for key_id, signature in sorted(block.items()) if isinstance(block, dict) else ():
            if key_id.startswith("ed25519:"):
                yield from _decoded(signature, 64)


def _decoded(text: Any, size: int) -> Iterator[bytes]:
    """The bytes of the base64, if it is some and they are of this size."""
    if not isinstance(text, str):
        return
    try:
        data = unpadded_base64.decode(text)
    except ValueError:
        return
    if len(data) == size:
        yield data


def _verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except BadSignatureError:
        return False
    return True
