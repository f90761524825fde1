"""Real PDUs for tests: hashed and signed, of any room version."""

from typing import Any

from hypothesis import HealthCheck, settings

from matrix import unpadded_base64
from matrix.building import Draft, build
from matrix.events import Event, Json
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from matrix.signing import SigningKey

# Appendices, "Cryptographic Test Vectors".
KEY = SigningKey.from_seed("1", unpadded_base64.decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"))
SERVER = ServerName("domain")
ALICE = UserId("@alice:domain")
# Properties say nothing about time: a busy machine is no failure.
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
VERSIONS = list(ROOM_VERSIONS.values())
PREVIOUS = (EventId("$previous:domain"), "6xDYyhq4jp8mKeRyfW7eD2aKbTHfPX3vZ5wCq2oSI1I")


def room_id(version: RoomVersion) -> RoomId:
    return RoomId("!" + "c" * 43) if version.room_id_is_create_hash else RoomId("!room:domain")


def draft(version: RoomVersion, **changes: Any) -> Draft:
    """The draft of a message of Alice's, with these changes."""
    fields: dict[str, Any] = {
        "type": "m.room.message",
        "sender": ALICE,
        "content": {"body": "hello", "msgtype": "m.text"},
        "room_id": room_id(version),
        "origin_server_ts": 1_700_000_000_000,
        "depth": 3,
        "prev_events": [PREVIOUS],
        "auth_events": [],
        "event_id": None if version.event_id_is_hash else EventId("$message:domain"),
    }
    return Draft(**(fields | changes))


def event(version: RoomVersion, **changes: Any) -> Event:
    return build(draft(version, **changes), version, SERVER, KEY)


def pdu(version: RoomVersion, **changes: Any) -> Json:
    """A PDU as another server sends it; `changes` are made after signing."""
    return {**event(version).pdu, **changes}
