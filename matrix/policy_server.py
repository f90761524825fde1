"""Policy servers, as far as they need no network: which one a room has, and whether it has signed an event.

Rooms that were set up before the specification had it name theirs by the names of MSC4284.

Source: server-server API, "Policy Servers"; client-server API, `m.room.policy`; MSC4284.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from nacl.signing import VerifyKey

from matrix.errors import BadSignature, NotCanonical
from matrix.events import Event, Json, StateKey, from_pdu
from matrix.hashing import essential_bytes
from matrix.ids import BadIdentifier, ServerName
from matrix.signing import POLICY_KEY_ID as KEY_ID
from matrix.signing import POLICY_KEY_VERSION as KEY_VERSION
from matrix.signing import verify_bytes, verify_key_from_base64

__all__ = [
    "KEY_ID",
    "KEY_VERSION",
    "NAMED_BY",
    "RoomPolicy",
    "is_exempt",
    "policy_in",
    "room_policy",
    "signature_in",
    "with_signature",
]

POLICY: StateKey = ("m.room.policy", "")
UNSTABLE: StateKey = ("org.matrix.msc4284.policy", "")
NAMED_BY = (POLICY, UNSTABLE)


@frozen(eq=False)
class RoomPolicy:
    """The policy server that a room names. Whether it is in the room is for others to find out."""

    via: ServerName
    key: VerifyKey = field(repr=False)

    def has_signed(self, event: Event) -> bool:
        signature = _signatures(event.pdu.get("signatures"), self.via).get(KEY_ID)
        return signature is not None and self.verifies(event, signature)

    def verifies(self, event: Event, signature: object) -> bool:
        """Is it the policy server's signature of the event?"""
        try:
            verify_bytes(essential_bytes(event.pdu, event.version), signature, self.key)
        except (BadSignature, NotCanonical):
            return False
        return True


def room_policy(content: Mapping[str, Any]) -> RoomPolicy | None:
    """What the content of the room's m.room.policy says; None, if it is not valid: the room then has no policy server.

    Source: "Determining if a Policy Server is enabled in a room".
    """
    via, keys = content.get("via"), content.get("public_keys")
    key = keys.get("ed25519") if isinstance(keys, dict) else None
    if not isinstance(via, str) or not isinstance(key, str):
        return None
    try:
        return RoomPolicy(ServerName.parse(via), verify_key_from_base64(key))
    except (BadIdentifier, BadSignature):
        return None


def policy_in(contents: Mapping[StateKey, Mapping[str, Any]]) -> RoomPolicy | None:
    """The policy server that a room's state names, by the contents of NAMED_BY. The old name counts only alone."""
    if POLICY in contents:
        return room_policy(contents[POLICY])
    content = contents.get(UNSTABLE, {})
    return room_policy({"via": content.get("via"), "public_keys": {"ed25519": content.get("public_key")}})


def is_exempt(event_type: str, state_key: str | None) -> bool:
    """No policy server is asked of what names it: else no room could get rid of one that is gone."""
    return (event_type, state_key) in NAMED_BY


def signature_in(answer: Mapping[str, Any], via: ServerName) -> str | None:
    """The signature in what a policy server answers."""
    signature = _signatures(answer, via).get(KEY_ID)
    return signature if isinstance(signature, str) else None


def with_signature(event: Event, via: ServerName, signature: str) -> Event:
    """The same event with the policy server's signature. Signatures that are there stay: the server of the sender may
    be the policy server too.
    """
    signatures = event.pdu.get("signatures") or {}
    of_server = {**_signatures(signatures, via), KEY_ID: signature}
    pdu: Json = {**event.pdu, "signatures": {**signatures, str(via): of_server}}
    return from_pdu(pdu, event.version, event.event_id)


def _signatures(signatures: object, server: str) -> Mapping[str, Any]:
    of_server = signatures.get(server) if isinstance(signatures, Mapping) else None
    return of_server if isinstance(of_server, Mapping) else {}
