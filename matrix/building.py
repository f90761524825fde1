"""Our own events: from a draft to the hashed, signed and named event, by the shortest way.

The redacted event without signatures is encoded once: those bytes are signed, and their hash is the event id.

Source: server-server API, "Adding hashes and signatures to outgoing events".
"""

from collections.abc import Sequence
from hashlib import sha256

from attrs import frozen

from matrix import canonical_json, unpadded_base64
from matrix.errors import BadEvent, NotCanonical
from matrix.event_format import check_sizes, check_storable
from matrix.events import Event, Json, from_pdu
from matrix.hashing import event_id_from_hash, reference_hash
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.redaction import redact
from matrix.room_versions import RoomVersion
from matrix.signing import SigningKey

# The event around the content is one level.
MAX_CONTENT_DEPTH = canonical_json.MAX_DEPTH - 1

# How a draft names another event. Room versions 1 and 2 need its reference hash too (unpadded base64), so there
# it is the event itself or the pair; from version 3 on the id is enough. Some servers name no hash in a template.
Reference = Event | EventId | tuple[EventId, str | None]


@frozen(kw_only=True)
class Draft:
    """An event as it is wanted: what its author says, and its place in the room.

    `room_id` is None for the create event of room version 12. `event_id` is given in room versions 1 and 2 only, where
    it is chosen. `redacts` goes where the room version has it. `origin`: the server that makes the event, where
    that has to be said.
    """

    type: str
    sender: UserId
    content: Json
    room_id: RoomId | None
    origin_server_ts: int
    depth: int
    prev_events: Sequence[Reference]
    auth_events: Sequence[Reference]
    state_key: str | None = None
    redacts: EventId | None = None
    event_id: EventId | None = None
    origin: ServerName | None = None


def build(draft: Draft, version: RoomVersion, server_name: str, key: SigningKey) -> Event:
    """The event of a draft, hashed and signed. Whether it is allowed is not asked here.

    Raises: BadEvent, EventTooLarge for content, a type or a state key that no event can have.
    """
    check_storable(draft.type, draft.state_key)
    # The rest of the event is ours, and need not be searched for floats.
    encode = canonical_json.encode_known if version.strict_canonical_json else canonical_json.encode
    try:
        canonical_json.check(draft.content, strict=version.strict_canonical_json, max_depth=MAX_CONTENT_DEPTH)
        pdu = to_unsigned_pdu(draft, version)
        pdu["hashes"] = {"sha256": unpadded_base64.encode(sha256(encode(pdu)).digest())}
    except NotCanonical as error:
        raise BadEvent(str(error)) from error
    essential = encode(redact(pdu, version))
    # A key of a subclass of str would cost the fast encoder.
    pdu["signatures"] = {str(server_name): {key.key_id: unpadded_base64.encode(key.sign(essential))}}
    canonical = encode(pdu)
    check_sizes(pdu, canonical)
    if version.event_id_is_hash:
        event_id = event_id_from_hash(sha256(essential).digest(), version)
    else:
        event_id = EventId(pdu["event_id"])
    return from_pdu(pdu, version, event_id, canonical_json.to_keep(canonical))


def to_unsigned_pdu(draft: Draft, version: RoomVersion) -> Json:
    """The PDU of a draft before it is hashed and signed: also what make_join and its like answer with."""
    content = draft.content
    pdu: Json = {
        "auth_events": [_reference(of, version) for of in draft.auth_events],
        "content": content,
        "depth": draft.depth,
        "origin_server_ts": draft.origin_server_ts,
        "prev_events": [_reference(of, version) for of in draft.prev_events],
        "sender": draft.sender,
        "type": draft.type,
    }
    if draft.room_id is not None:
        pdu["room_id"] = draft.room_id
    if draft.origin is not None:
        pdu["origin"] = draft.origin
    if draft.state_key is not None:
        pdu["state_key"] = draft.state_key
    if draft.redacts is not None and version.redacts_in_content:
        pdu["content"] = {**content, "redacts": draft.redacts}
    elif draft.redacts is not None:
        pdu["redacts"] = draft.redacts
    if not version.event_id_is_hash:
        assert draft.event_id is not None, "room versions 1 and 2 want an event id"
        pdu["event_id"] = draft.event_id
    return pdu


def _reference(of: Reference, version: RoomVersion) -> EventId | list[object]:
    event_id = of.event_id if isinstance(of, Event) else of[0] if isinstance(of, tuple) else of
    if version.event_id_is_hash:
        return event_id
    if isinstance(of, Event):
        digest: str | None = unpadded_base64.encode(reference_hash(of.pdu, of.version))
    else:
        assert isinstance(of, tuple), "room versions 1 and 2 want the reference hash beside the event id"
        digest = of[1]
    return [event_id, {} if digest is None else {"sha256": digest}]
