"""Events as bytes for application services: the oldest of the client formats, which Synapse sends them.

As in a sync, with the room's id; and beside `unsigned` at the top level what older libraries look for there:
`user_id`, `age`, `prev_content`, `replaces_state`, `redacted_because`, `invite_room_state`, `knock_room_state`.

Source: client-server API, "Room event format"; Synapse's `format_event_for_client_v1`.
"""

from collections.abc import Mapping, Sequence

import orjson
from attrs import field, frozen

from matrix.client_format import client_event
from matrix.event_references import referring_to
from matrix.events import Json
from storage.appservice_events import PlainEvent
from storage.events import StoredEvent

# What stands in `unsigned` and, for older libraries, beside it.
_DOUBLED = (
    "age", "redacted_because", "replaces_state", "prev_content", "invite_room_state", "knock_room_state",
)  # fmt: skip


@frozen(kw_only=True)
class Around:
    """What an event does not say itself. Maps are by event number; `shown` is a room's stripped state."""

    now_ms: int
    others: Mapping[int, StoredEvent] = field(factory=dict)  # replaced events, redactions
    shown: Mapping[int, Sequence[Json]] = field(factory=dict)  # of invites and knocks
    ids: Mapping[str, str] = field(factory=dict)  # by which the service knows events that it has imported


def plain_bytes(plain: PlainEvent, around: Around) -> bytes:
    age = max(0, around.now_ms - plain.origin_server_ts)
    return b'%b,"age":%d,"unsigned":{"age":%d}}' % (plain.told, age, age)


def event_bytes(stored: StoredEvent, around: Around) -> bytes:
    event = stored.event
    told = _own_bytes(stored, around.ids) if around.ids else _shared_bytes(stored)
    names = b',"room_id":%b,"user_id":%b' % (orjson.dumps(event.room_id), orjson.dumps(event.sender))
    if stored.redacted_by is None and not stored.replaces and stored.nid not in around.shown:
        age = max(0, around.now_ms - event.origin_server_ts)
        return b'%b%b,"age":%d,"unsigned":{"age":%d}}' % (told, names, age, age)
    unsigned = _unsigned(stored, around)
    doubled = orjson.dumps({**_doubled(unsigned), "unsigned": unsigned})
    return told + names + b"," + doubled[1:]


def _shared_bytes(stored: StoredEvent) -> bytes:
    """The bytes that clients get too, without unsigned, room id and closing brace: services/rooms/serialise.py."""
    if stored.client_json is None:
        stored.client_json = orjson.dumps(client_event(stored.event, room_id=False))[:-1]
    return stored.client_json


def _own_bytes(stored: StoredEvent, ids: Mapping[str, str]) -> bytes:
    """The same, referring to events by these ids."""
    event = stored.event
    content = referring_to(event.content, ids)
    if content is event.content and event.redacts not in ids:
        return _shared_bytes(stored)
    told = {**client_event(event, room_id=False), "content": content}
    if "redacts" in told:
        told["redacts"] = ids.get(told["redacts"], told["redacts"])
    return orjson.dumps(told)[:-1]


def _unsigned(stored: StoredEvent, around: Around) -> Json:
    value: Json = {"age": max(0, around.now_ms - stored.event.origin_server_ts)}
    replaced = around.others.get(stored.replaces or 0)
    if replaced is not None:
        value["prev_content"] = replaced.event.content
        value["prev_sender"] = replaced.event.sender
        value["replaces_state"] = replaced.event_id
    redaction = around.others.get(stored.redacted_by or 0)
    if redaction is not None:
        value["redacted_by"] = redaction.event_id
        value["redacted_because"] = _redaction(redaction, around.now_ms)
    if (shown := around.shown.get(stored.nid)) is not None:
        value["knock_room_state" if stored.event.membership == "knock" else "invite_room_state"] = list(shown)
    return value


def _redaction(redaction: StoredEvent, now_ms: int) -> Json:
    age = max(0, now_ms - redaction.event.origin_server_ts)
    whole = client_event(redaction.event, unsigned={"age": age})
    return {**whole, "user_id": redaction.event.sender, "age": age}


def _doubled(unsigned: Json) -> Json:
    return {name: unsigned[name] for name in _DOUBLED if name in unsigned}
