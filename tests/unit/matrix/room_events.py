"""Events for tests of the pure core, made without signatures or hashes: an id is what the test calls it."""

from collections.abc import Iterable
from typing import Any

from matrix import canonical_json
from matrix.events import Event, StateKey
from matrix.ids import EventId, RoomId, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion

CREATE_ID = "$create"


def versions(text: str) -> list[RoomVersion]:
    """ "6-9" or "12": the room versions of that range."""
    first, _, last = text.partition("-")
    return [ROOM_VERSIONS[str(number)] for number in range(int(first), int(last or first) + 1)]


def room_id(version: RoomVersion) -> str:
    return "!create" if version.room_id_is_create_hash else "!room:a"


def make_event(version: RoomVersion, fields: dict[str, Any]) -> Event:
    """An Event of these fields, with defaults for all but type and sender."""
    return Event(
        event_id=EventId(fields.get("event_id", "$event")),
        room_id=RoomId(fields.get("room_id", room_id(version))),
        version=version,
        type=fields["type"],
        state_key=fields.get("state_key"),
        sender=UserId(fields["sender"]),
        content=fields.get("content", {}),
        origin_server_ts=fields.get("origin_server_ts", 0),
        depth=fields.get("depth", 1),
        prev_events=tuple(map(EventId, fields.get("prev_events", ()))),
        auth_events=tuple(map(EventId, fields.get("auth_events", ()))),
        redacts=fields.get("redacts"),
        canonical=canonical_json.encode(_pdu(fields)),
    )


def _pdu(fields: dict[str, Any]) -> dict[str, Any]:
    pdu = {"signatures": fields.get("signatures", {})}
    if "pdu_room_id" in fields:
        pdu["room_id"] = fields["pdu_room_id"]
    return pdu


def state_map(events: Iterable[Event]) -> dict[StateKey, Event]:
    return {event.key: event for event in events}
