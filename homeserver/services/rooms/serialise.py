"""Events as bytes for clients: serialised once, shared by all who get them; what differs is put in around.

An event's shared bytes are its client format without `unsigned` and without the closing brace. For a reader follow the
room id, where the answer does not say it elsewhere, and `unsigned`: age, the replaced content, the redaction, bundled
aggregations, and for the sender's own device the transaction id.

Source: client-server API, "Room event format"; "Moving the `redacts` property" of room version 11.
"""

from collections.abc import Iterable, Mapping

import orjson
from attrs import field, frozen

from matrix.client_format import client_event
from matrix.events import Json
from storage.events import Events, StoredEvent

_MEMBERSHIPS: dict[str | None, bytes] = {
    None: b"",
    **{name: b',"membership":"%b"' % name.encode() for name in ("join", "leave", "invite", "ban", "knock")},
}


@frozen(kw_only=True)
class Around:
    """What is not the same for every reader or at every time. Maps are by event number."""

    now_ms: int
    with_room_id: bool = False
    replaced: Mapping[int, StoredEvent] = field(factory=dict)  # the state events that these replaced
    redactions: Mapping[int, StoredEvent] = field(factory=dict)  # the redactions of these
    transaction_ids: Mapping[int, str] = field(factory=dict)
    memberships: Mapping[int, str] = field(factory=dict)  # the reader's own, at the event
    membership: str | None = None  # the reader's own at all events that `memberships` does not have
    bundles: Mapping[int, Json] = field(factory=dict)  # m.relations


def shared_bytes(stored: StoredEvent) -> bytes:
    """The event's bytes without unsigned, room id and closing brace. Kept with the event."""
    if stored.client_json is None:
        stored.client_json = orjson.dumps(client_event(stored.event, room_id=False))[:-1]
    return stored.client_json


def event_bytes(stored: StoredEvent, around: Around) -> bytes:
    """The event for one reader."""
    room_id = b',"room_id":' + orjson.dumps(stored.event.room_id) if around.with_room_id else b""
    return shared_bytes(stored) + room_id + (_plain_unsigned(stored, around) or _unsigned(stored, around))


def _unsigned(stored: StoredEvent, around: Around) -> bytes:
    return b',"unsigned":' + orjson.dumps(unsigned(stored, around)) + b"}"


def _plain_unsigned(stored: StoredEvent, around: Around) -> bytes | None:
    """`unsigned` and the closing brace, of an event of which there is little to say: most are, and it is quick."""
    nid = stored.nid
    if stored.redacted_by is not None or nid in around.transaction_ids or nid in around.bundles:
        return None
    if stored.replaces is not None and stored.replaces in around.replaced:
        return None
    membership = _MEMBERSHIPS.get(around.memberships.get(nid, around.membership))
    if membership is None:
        return None
    return b',"unsigned":{"age":%d%b}}' % (max(0, around.now_ms - stored.event.origin_server_ts), membership)


def event_json(stored: StoredEvent, around: Around) -> Json:
    """The event for one reader, as a value: for answers of single events, and for filters by fields."""
    return client_event(stored.event, room_id=around.with_room_id, unsigned=unsigned(stored, around))


def unsigned(stored: StoredEvent, around: Around) -> Json:
    value: Json = {"age": max(0, around.now_ms - stored.event.origin_server_ts)}
    membership = around.memberships.get(stored.nid, around.membership)
    if membership is not None:
        value["membership"] = membership
    if stored.replaces is not None and (replaced := around.replaced.get(stored.replaces)) is not None:
        value["prev_content"] = replaced.event.content
        value["prev_sender"] = replaced.event.sender
        value["replaces_state"] = replaced.event_id
    if stored.redacted_by is not None and (redaction := around.redactions.get(stored.redacted_by)) is not None:
        value["redacted_because"] = client_event(redaction.event, unsigned=unsigned(redaction, _plain(around)))
        value["redacted_by"] = redaction.event_id
    if (transaction_id := around.transaction_ids.get(stored.nid)) is not None:
        value["transaction_id"] = transaction_id
    if (bundle := around.bundles.get(stored.nid)) is not None:
        value["m.relations"] = bundle
    return value


def _plain(around: Around) -> Around:
    return Around(now_ms=around.now_ms)


async def load_around(events: Events, stored: Iterable[StoredEvent]) -> dict[int, StoredEvent]:
    """The events that `unsigned` of these speaks of: replaced state and redactions, by number."""
    wanted = set()
    for one in stored:
        if one.replaces:
            wanted.add(one.replaces)
        if one.redacted_by is not None:
            wanted.add(one.redacted_by)
    return await events.get(wanted) if wanted else {}
