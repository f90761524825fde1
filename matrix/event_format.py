"""The first check on receipt of a PDU: is it an event of its room version at all?

Source: server-server API, "Checks performed on receipt of a PDU", 1; room versions, "Event format"; client-server API,
"Size limits".
"""

import re
from functools import lru_cache
from typing import Any

from matrix import canonical_json
from matrix.errors import BadEvent, EventTooLarge, NotCanonical
from matrix.events import Event, Json, from_pdu
from matrix.hashing import essential_bytes, event_id_from_bytes
from matrix.ids import MAX_BYTES, BadIdentifier, EventId, RoomId, ServerName, UserId
from matrix.room_versions import RoomVersion

# Client-server API, "Size limits".
MAX_PDU_BYTES = 65_536
# Server-server API, PDU: how many events one may refer to.
MAX_PREV_EVENTS, MAX_AUTH_EVENTS = 20, 10
# Of `depth`, and of what a bigint column can hold.
MAX_INTEGER = 2**63 - 1
MAX_STRICT_INTEGER = 2**53 - 1

# Ids that are hashes; what is longer is not kept.
_SHORT = 64
_CREATE_HASH_ROOM_ID = re.compile(r"![A-Za-z0-9_-]{43}")
_REQUIRED: tuple[tuple[str, type], ...] = (
    ("type", str),
    ("sender", str),
    ("content", dict),
    ("depth", int),
    ("origin_server_ts", int),
    ("prev_events", list),
    ("auth_events", list),
    ("hashes", dict),
    ("signatures", dict),
)


def parse_pdu(pdu: Json, version: RoomVersion) -> Event:
    """The event of a PDU from outside, its id computed. `unsigned` is dropped: it is the sender's word only.

    Neither hashes, signatures nor authorization are checked. `pdu` is not changed, but its values are shared.

    Raises: BadEvent, EventTooLarge.
    """
    return parse_signed(pdu, version)[0]


def parse_signed(pdu: Json, version: RoomVersion) -> tuple[Event, bytes]:
    """As `parse_pdu`; and the bytes that signatures cover, of which the id is made: they are encoded once."""
    if not isinstance(pdu, dict):
        raise BadEvent("the event is not an object")
    pdu = {key: value for key, value in pdu.items() if key != "unsigned"}
    try:
        canonical = canonical_json.encode_checked(pdu, strict=version.strict_canonical_json)
    except NotCanonical as error:
        raise BadEvent(str(error)) from error
    check_format(pdu, version)
    check_sizes(pdu, canonical)
    signed = essential_bytes(pdu, version)
    event_id = event_id_from_bytes(signed, version) if version.event_id_is_hash else EventId(pdu["event_id"])
    event = from_pdu(pdu, version, event_id, canonical_json.to_keep(canonical))
    return event, canonical_json.to_keep(signed)


def check_format(pdu: Json, version: RoomVersion) -> None:
    """Types, grammars and counts of a PDU that is canonical JSON. Raises: BadEvent."""
    for key, kind in _REQUIRED:
        value = pdu.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadEvent(f"{key} is missing or not {kind.__name__}")
    _check_texts(pdu, version)
    _check_integers(pdu, version)
    _check_identifiers(pdu, version)
    _check_references(pdu, version)
    _check_hashes_and_signatures(pdu)


def check_sizes(pdu: Json, canonical: bytes) -> None:
    """The limits in bytes of an event, for our own as for others'; `canonical` is its canonical JSON, signed.

    The identifiers' limits are part of their grammar. Raises: EventTooLarge.
    """
    if len(canonical) > MAX_PDU_BYTES:
        raise EventTooLarge(f"the event has {len(canonical)} bytes, and {MAX_PDU_BYTES} is the limit")
    for key in ("type", "state_key", "sender", "room_id", "event_id"):
        text = pdu.get(key)
        # A code point has at most four bytes.
        if isinstance(text, str) and len(text) * 4 > MAX_BYTES and len(text.encode()) > MAX_BYTES:
            raise EventTooLarge(f"{key} has more than {MAX_BYTES} bytes")


def check_storable(event_type: str, state_key: str | None) -> None:
    """PostgreSQL has no NUL in text: neither Synapse nor we can keep such an event. Raises: BadEvent."""
    if "\x00" in event_type or (state_key is not None and "\x00" in state_key):
        raise BadEvent("type or state_key contains NUL")


def _check_texts(pdu: Json, version: RoomVersion) -> None:
    state_key = pdu.get("state_key")
    if "state_key" in pdu and not isinstance(state_key, str):
        raise BadEvent("state_key is not text")
    check_storable(pdu["type"], state_key)
    if pdu["type"] != "m.room.redaction" or version.redacts_in_content:
        return
    if not isinstance(pdu.get("redacts", ""), str):
        raise BadEvent("redacts is not text")


def _check_integers(pdu: Json, version: RoomVersion) -> None:
    most = MAX_STRICT_INTEGER if version.strict_canonical_json else MAX_INTEGER
    if not 0 <= pdu["depth"] <= most:
        raise BadEvent("depth is out of range")
    if not -most <= pdu["origin_server_ts"] <= most:
        raise BadEvent("origin_server_ts is out of range")


def _check_identifiers(pdu: Json, version: RoomVersion) -> None:
    try:
        UserId.parse(pdu["sender"])
        if version.room_id_is_create_hash and is_create(pdu):
            if "room_id" in pdu:
                raise BadEvent("a create event has no room_id")
        else:
            _check_room_id(pdu.get("room_id"), version)
        if not version.event_id_is_hash:
            event_id = EventId.parse(_text(pdu.get("event_id")))
            ServerName.parse(event_id.domain)
    except BadIdentifier as error:
        raise BadEvent(str(error)) from error


def is_create(pdu: Json) -> bool:
    """Is this the PDU of a room's create event?"""
    return pdu["type"] == "m.room.create" and pdu.get("state_key") == ""


def _check_room_id(room_id: Any, version: RoomVersion) -> None:
    RoomId.parse(_text(room_id))
    if version.room_id_is_create_hash and not _CREATE_HASH_ROOM_ID.fullmatch(room_id):
        raise BadEvent("room_id is not the id of a create event")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadEvent("an id is missing or not text")
    return value


def _check_references(pdu: Json, version: RoomVersion) -> None:
    for key, most in (("prev_events", MAX_PREV_EVENTS), ("auth_events", MAX_AUTH_EVENTS)):
        references = pdu[key]
        if len(references) > most:
            raise BadEvent(f"{key} has more than {most} events")
        for reference in references:
            _check_reference(reference, key, version)
    # Room version 12, "Authorisation rules" 3.2: the create event MUST NOT be selected; the room id names it.
    if version.room_id_is_create_hash and not is_create(pdu) and "$" + pdu["room_id"][1:] in pdu["auth_events"]:
        raise BadEvent("auth_events contains the create event")


def _check_reference(reference: Any, key: str, version: RoomVersion) -> None:
    """An event id; before room version 3 a pair of the id and its hashes."""
    if not version.event_id_is_hash:
        if not isinstance(reference, list) or len(reference) != 2 or not isinstance(reference[1], dict):
            raise BadEvent(f"{key} is not made of pairs of event id and hashes")
        reference = reference[0]
    try:
        if len(_text(reference)) <= _SHORT:
            _parse_event_id(reference)
        else:
            EventId.parse(reference)
    except BadIdentifier as error:
        raise BadEvent(f"{key}: {error}") from error


@lru_cache(maxsize=4096)
def _parse_event_id(text: str) -> EventId:
    """The same few auth events stand in all events of a room. Raises: BadIdentifier."""
    return EventId.parse(text)


def _check_hashes_and_signatures(pdu: Json) -> None:
    if not isinstance(pdu["hashes"].get("sha256"), str):
        raise BadEvent("hashes has no sha256")
    for signatures in pdu["signatures"].values():
        if not isinstance(signatures, dict) or not all(isinstance(text, str) for text in signatures.values()):
            raise BadEvent("signatures is not made of signatures by server and key")
