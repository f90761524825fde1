"""Content hash, reference hash and event id of a PDU that is canonical JSON by the rules of its room version.

Source: server-server API, "Signing Events"; room versions 1, 3 and 4, "Event IDs".
"""

from hashlib import sha256
from hmac import compare_digest

from matrix import canonical_json, unpadded_base64
from matrix.events import Json
from matrix.ids import EventId
from matrix.redaction import redact
from matrix.room_versions import RoomVersion

_NOT_CONTENT_HASHED = ("unsigned", "signatures", "hashes")


def content_hash(pdu: Json, version: RoomVersion) -> bytes:
    """The SHA-256 of the whole event, but for `hashes`, `signatures` and `unsigned`."""
    return sha256(
        _encode({key: value for key, value in pdu.items() if key not in _NOT_CONTENT_HASHED}, version)
    ).digest()


def add_content_hash(pdu: Json, version: RoomVersion) -> Json:
    """A copy of the PDU with its content hash in `hashes`. What else was in `hashes` stays."""
    hashes = {**pdu.get("hashes", {}), "sha256": unpadded_base64.encode(content_hash(pdu, version))}
    return {**pdu, "hashes": hashes}


def check_content_hash(pdu: Json, version: RoomVersion) -> bool:
    """Is the content what the sender hashed? If not, the event is to be redacted, not dropped.

    Source: server-server API, "Validating hashes and signatures on received events".
    """
    try:
        claimed = unpadded_base64.decode(pdu["hashes"]["sha256"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    return compare_digest(claimed, content_hash(pdu, version))


def essential_bytes(pdu: Json, version: RoomVersion) -> bytes:
    """The canonical JSON of the redacted event without signatures: what is signed, and what is hashed for the id."""
    essential = redact(pdu, version)
    essential.pop("signatures", None)
    return _encode(essential, version)


def reference_hash(pdu: Json, version: RoomVersion) -> bytes:
    """The SHA-256 of what a redaction leaves: the event id from room version 3 on, part of references before."""
    return sha256(essential_bytes(pdu, version)).digest()


def event_id_of(pdu: Json, version: RoomVersion) -> EventId:
    """The event's id: written in the PDU in room versions 1 and 2, then its reference hash."""
    if not version.event_id_is_hash:
        return EventId(pdu["event_id"])
    return event_id_from_hash(reference_hash(pdu, version), version)


def event_id_from_bytes(essential: bytes, version: RoomVersion) -> EventId:
    """The event id that `essential_bytes` make, in room version 3 and later."""
    return event_id_from_hash(sha256(essential).digest(), version)


def event_id_from_hash(digest: bytes, version: RoomVersion) -> EventId:
    """The event id that a reference hash makes, in room version 3 and later."""
    url_safe = version.event_id_format == "url_safe_hash"
    return EventId("$" + (unpadded_base64.encode_url_safe(digest) if url_safe else unpadded_base64.encode(digest)))


def _encode(value: Json, version: RoomVersion) -> bytes:
    return canonical_json.encode_known(value) if version.strict_canonical_json else canonical_json.encode(value)
