"""Was the acceptance of a third-party invite signed with a key that the invite names?

Source: client-server API, "m.room.third_party_invite"; specification, "Room Versions", "Authorisation rules".
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from matrix import canonical_json, unpadded_base64
from matrix.errors import NotCanonical

# Real invites have two keys and one or two signatures. Two events of 64 kB could ask for 100,000 verifications.
_MAX_VERIFICATIONS = 64


def is_signed_by_invite(signed: Mapping[str, Any], invite_content: Mapping[str, Any]) -> bool:
    """Does any Ed25519 signature of `signed` verify by any key of m.room.third_party_invite's content?

    Who signed does not matter: the invite vouches for its keys.
    """
    try:
        message = canonical_json.encode({k: v for k, v in signed.items() if k not in ("signatures", "unsigned")})
    except NotCanonical:
        return False
    pairs = product(_public_keys(invite_content), list(_signatures(signed)))
    return any(_verifies(key, signature, message) for key, signature in islice(pairs, _MAX_VERIFICATIONS))


def _public_keys(content: Mapping[str, Any]) -> Iterator[bytes]:
    yield from _decoded(content.get("public_key"), 32)
    more = content.get("public_keys")
    for entry in more if isinstance(more, list) else ():
        if isinstance(entry, dict):
            yield from _decoded(entry.get("public_key"), 32)


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
