"""Sign and verify JSON objects and events with Ed25519.

Source: appendices, "Signing JSON"; server-server API, "Signing Events".
"""

import re
from collections.abc import Mapping
from typing import Self

from attrs import field, frozen
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair, crypto_sign_SEEDBYTES
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from matrix import canonical_json, unpadded_base64
from matrix.errors import BadSignature, NotCanonical
from matrix.events import Json
from matrix.hashing import essential_bytes
from matrix.ids import BadIdentifier, ServerName, UserId
from matrix.room_versions import RoomVersion

ALGORITHM = "ed25519"
# Of policy servers: server-server API, "Validating Policy Server signatures".
POLICY_KEY_VERSION = "policy_server"
POLICY_KEY_ID = f"{ALGORITHM}:{POLICY_KEY_VERSION}"
_KEY_ID = re.compile(r"ed25519:[A-Za-z0-9_]+")
KeysByServer = Mapping[ServerName, Mapping[str, VerifyKey]]


@frozen
class SigningKey:
    """A private key and its id, `ed25519:<version>`."""

    key_id: str
    _seed: bytes = field(repr=False)
    _secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, version: str, seed: bytes) -> Self:
        """The key of a seed of 32 random bytes. `version` tells a server's keys apart.

        Raises: ValueError.
        """
        key_id = f"{ALGORITHM}:{version}"
        if not _KEY_ID.fullmatch(key_id) or len(seed) != crypto_sign_SEEDBYTES:
            raise ValueError("a signing key wants a version of A-Z, a-z, 0-9, _ and a seed of 32 bytes")
        return cls(key_id, seed, crypto_sign_seed_keypair(seed)[1])

    def renamed(self, version: str) -> Self:
        """The same key by another id."""
        return type(self).from_seed(version, self._seed)

    @property
    def verify_key(self) -> VerifyKey:
        # The second half of an Ed25519 secret, as NaCl writes it, is the public key.
        return VerifyKey(self._secret[crypto_sign_SEEDBYTES:])

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]

    def line(self) -> str:
        """The key as a line of Synapse's signing.key file."""
        version = self.key_id.partition(":")[2]
        return f"{ALGORITHM} {version} {unpadded_base64.encode(self._seed)}\n"


def read_signing_keys(text: str) -> list[SigningKey]:
    """The keys of a signing.key file as Synapse writes it: lines of `ed25519 <version> <seed in base64>`.

    Raises: ValueError, which does not repeat the line.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        match line.split():
            case []:
                continue
            case [algorithm, version, seed] if algorithm == ALGORITHM:
                keys.append(SigningKey.from_seed(version, unpadded_base64.decode(seed)))
            case _:
                raise ValueError(f"line {number} of the signing keys is not 'ed25519 <version> <seed>'")
    return keys


def verify_key_from_base64(text: str) -> VerifyKey:
    """A public key as servers publish it. Raises: BadSignature."""
    try:
        return VerifyKey(unpadded_base64.decode(text))
    except (ValueError, TypeError, CryptoError) as error:
        raise BadSignature("not an Ed25519 public key") from error


def sign_json(obj: Json, server_name: str, key: SigningKey) -> Json:
    """A copy of the object with our signature added. `unsigned` and other signatures stay, and are not covered."""
    return _with_signature(obj, server_name, key, key.sign(_signed_bytes(obj)))


def verify_json(obj: Json, server_name: str, key_id: str, verify_key: VerifyKey) -> None:
    """Check the signature of one server by one of its keys. Raises: BadSignature."""
    try:
        signed = _signed_bytes(obj)
    except NotCanonical as error:
        raise BadSignature("the object has no canonical JSON") from error
    _verify(signed, _signatures_of(obj, server_name).get(key_id), verify_key)


def verify_bytes(signed: bytes, signature: object, verify_key: VerifyKey) -> None:
    """Check a signature, in unpadded base64, of bytes. Raises: BadSignature."""
    _verify(signed, signature, verify_key)


def sign_event(pdu: Json, server_name: str, key: SigningKey, version: RoomVersion) -> Json:
    """A copy of the PDU with our signature added. Its content hash must be in it already."""
    return _with_signature(pdu, server_name, key, key.sign(essential_bytes(pdu, version)))


def key_ids_of(obj: Json, server_name: str) -> list[str]:
    """With which keys of an algorithm that we know has the server signed? Nothing is verified."""
    known = (key_id for key_id in _signatures_of(obj, server_name) if _KEY_ID.fullmatch(key_id))
    # That of a policy server is in the room, and nowhere published.
    return [key_id for key_id in known if key_id != POLICY_KEY_ID]


def verify_event(pdu: Json, version: RoomVersion, keys: KeysByServer, signed: bytes | None = None) -> None:
    """Check that every server that must sign the event has done so.

    `keys` holds what is known of their keys, without those that were no longer valid at the event's `origin_server_ts`.
    Signatures by other keys are passed over; of the rest each must verify, and each server needs one.
    `signed`: the event's `essential_bytes`, where somebody has them.

    Raises: BadSignature.
    Source: server-server API, "Validating hashes and signatures on received events".
    """
    try:
        signed = essential_bytes(pdu, version) if signed is None else signed
    except NotCanonical as error:
        raise BadSignature("the event has no canonical JSON") from error
    for server_name in servers_that_must_sign(pdu, version):
        known = keys.get(server_name, {})
        signatures = _signatures_of(pdu, server_name)
        used = [key_id for key_id in known if key_id in signatures]
        if not used:
            raise BadSignature(f"no signature of {server_name} by a key that is known and valid")
        for key_id in used:
            _verify(signed, signatures[key_id], known[key_id])


def servers_that_must_sign(pdu: Json, version: RoomVersion) -> list[ServerName]:
    """The servers whose signatures an event needs, each once.

    The sender's, but not for an invite by a third-party identifier, which another server may send on the sender's
    behalf; in room versions 1 and 2 also that of the event id; and for a restricted join the server of the user
    who lets the sender in.

    Raises: BadSignature if a name cannot be read.
    Source: server-server API, "Validating hashes and signatures on received events"; room version 8,
    "Authorisation rules".
    """
    content = pdu["content"]
    membership = content.get("membership") if pdu["type"] == "m.room.member" else None
    names: dict[ServerName, None] = {}
    if not (membership == "invite" and "third_party_invite" in content):
        names[UserId(pdu["sender"]).domain] = None
    if not version.event_id_is_hash:
        names[ServerName(pdu["event_id"].partition(":")[2])] = None
    if version.restricted_joins and membership == "join" and "join_authorised_via_users_server" in content:
        names[_authorising_server(content)] = None
    return list(names)


def _authorising_server(content: Json) -> ServerName:
    user_id = content["join_authorised_via_users_server"]
    try:
        return UserId.parse(user_id if isinstance(user_id, str) else "").domain
    except BadIdentifier as error:
        raise BadSignature("join_authorised_via_users_server is not a user id") from error


def _signed_bytes(obj: Json) -> bytes:
    return canonical_json.encode({key: value for key, value in obj.items() if key not in ("signatures", "unsigned")})


def _signatures_of(obj: Json, server_name: str) -> Json:
    """The signatures of one server by key id, whatever the values are. Empty if there are none."""
    signatures = obj.get("signatures")
    of_server = signatures.get(server_name) if isinstance(signatures, dict) else None
    return of_server if isinstance(of_server, dict) else {}


def _with_signature(obj: Json, server_name: str, key: SigningKey, signature: bytes) -> Json:
    signatures = obj.get("signatures", {})
    of_server = {**signatures.get(server_name, {}), key.key_id: unpadded_base64.encode(signature)}
    return {**obj, "signatures": {**signatures, server_name: of_server}}


def _verify(signed: bytes, signature: object, verify_key: VerifyKey) -> None:
    if not isinstance(signature, str):
        raise BadSignature("the signature is missing")
    try:
        verify_key.verify(signed, unpadded_base64.decode(signature))
    except (ValueError, TypeError, CryptoError) as error:
        raise BadSignature("the signature does not verify") from error
