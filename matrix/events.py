"""An event of a room, frozen, as every part of the server sees it.

Source: specification, "Room Versions" (event formats); server-server API, "PDUs".
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from attrs import field, frozen

from matrix import canonical_json
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import RoomVersion

Json = dict[str, Any]
StateKey = tuple[str, str]  # (type, state_key)
StateMap = Mapping[StateKey, "Event"]


@frozen(eq=False, slots=True)
class Event:
    """A persistent data unit and its id. Equal ids are equal events.

    `canonical` is the canonical JSON of the whole signed PDU, without `unsigned`: what is stored and sent.
    In room version 12 `room_id` is the create event's own for that event too, though its PDU has none.
    """

    event_id: EventId
    room_id: RoomId
    version: RoomVersion = field(repr=False)
    type: str
    state_key: str | None
    sender: UserId
    content: Json = field(repr=False)
    origin_server_ts: int = field(repr=False)
    depth: int = field(repr=False)
    prev_events: tuple[EventId, ...] = field(repr=False)
    auth_events: tuple[EventId, ...] = field(repr=False)
    redacts: EventId | None = field(repr=False)
    canonical: bytes = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and other.event_id == self.event_id

    def __hash__(self) -> int:
        return hash(self.event_id)

    @property
    def pdu(self) -> Json:
        """The whole signed PDU, decoded anew: few ask, and kept it would be half of what an event takes in memory."""
        pdu: Json = orjson.loads(self.canonical)
        return pdu

    @property
    def is_state(self) -> bool:
        return self.state_key is not None

    @property
    def key(self) -> StateKey:
        """(type, state_key); only of a state event."""
        assert self.state_key is not None
        return (self.type, self.state_key)

    @property
    def origin(self) -> ServerName:
        return self.sender.domain

    @property
    def membership(self) -> str | None:
        """`content.membership` if it is text, of an m.room.member event."""
        value = self.content.get("membership") if self.type == "m.room.member" else None
        return value if isinstance(value, str) else None


# Of the many events in memory most name a room, a sender and auth events that others name too: a quarter of what an
# event takes, if each has objects of its own.
_room_id = lru_cache(4_096)(RoomId)
_user_id = lru_cache(16_384)(UserId)


@lru_cache(8_192)
def _event_ids(ids: tuple[str, ...]) -> tuple[EventId, ...]:
    return tuple(map(EventId, ids))


def from_pdu(pdu: Json, version: RoomVersion, event_id: EventId, canonical: bytes | None = None) -> Event:
    """The event of a PDU whose format has been checked (`event_format.parse_pdu`) and whose id is known.

    `canonical`, if the caller has it, must be the canonical JSON of `pdu`: a row read from the database, say.
    Checks nothing: for what comes from outside, `event_format.parse_pdu` does.
    """
    content: Json = pdu["content"]
    redacts = content.get("redacts") if version.redacts_in_content else pdu.get("redacts")
    if pdu["type"] != "m.room.redaction" or not isinstance(redacts, str):
        redacts = None
    if version.event_id_is_hash:
        prev, auth = pdu["prev_events"], pdu["auth_events"]
    else:
        prev, auth = [ref[0] for ref in pdu["prev_events"]], [ref[0] for ref in pdu["auth_events"]]
    room_id = pdu.get("room_id")
    if version.room_id_is_create_hash and pdu["type"] == "m.room.create" and pdu.get("state_key") == "":
        room_id = "!" + event_id[1:]
    return Event(
        event_id=event_id,
        room_id=_room_id(room_id),
        version=version,
        type=sys.intern(pdu["type"]),
        state_key=pdu.get("state_key"),
        sender=_user_id(pdu["sender"]),
        content=content,
        origin_server_ts=pdu["origin_server_ts"],
        depth=pdu["depth"],
        prev_events=tuple(map(EventId, prev)),
        auth_events=_event_ids(tuple(auth)),
        redacts=None if redacts is None else EventId(redacts),
        canonical=canonical_json.to_keep(canonical_json.encode(pdu)) if canonical is None else canonical,
    )
