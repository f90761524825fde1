"""Memberships of our users in rooms that this server is not in, and what is known of those rooms."""

from collections.abc import Collection
from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import Json, from_pdu
from matrix.ids import EventId, ServerName
from matrix.room_versions import ROOM_VERSIONS
from storage.change import Change, Custom, Delete, Insert
from storage.events import Flags, StoredEvent

_ADD = Insert(
    "out_of_band",
    {
        "event_nid": "bigint",
        "room_nid": "int",
        "version": "text",
        "event_id": "text",
        "json": "text",
        "replaces": "bigint",
        "server": "text",
        "room_state": "text",
    },
)
DELETE = Delete("out_of_band", {"event_nid": "bigint"})
# Who has joined meanwhile is in the room: no invite or answer that came late takes them out of it.
_PUT_MEMBERSHIP = Custom(
    {"room_nid": "int", "user_id": "text", "membership": "text", "event_nid": "bigint", "position": "bigint"},
    "INSERT INTO memberships (room_nid, user_id, membership, event_nid, position, forgotten)"
    " SELECT room_nid, user_id, membership, event_nid, position, false FROM {v}"
    " ON CONFLICT (room_nid, user_id) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,"
    " position = excluded.position, forgotten = false WHERE memberships.membership <> 'join'",
    key_indexes=(0, 1),
)
# A room of which nothing is stored has the version that the newest invite says.
SET_VERSION = Custom(
    {"room_nid": "int", "version": "text"},
    "UPDATE rooms r SET version = v.version FROM {v} WHERE r.room_nid = v.room_nid AND r.head = 0",
    key_indexes=(0,),
)


@frozen
class OutOfBand:
    """`event` has no place in its room. `room_state`: objects with type, state_key, sender and content."""

    event: StoredEvent
    server: ServerName
    room_state: list[Json]


def put(change: Change, row: OutOfBand, position: Any) -> None:
    """Makes it its user's membership. `position`: an `At`."""
    stored, event = row.event, row.event.event
    state = orjson.dumps(row.room_state).decode()
    values = (event.version.id, event.event_id, event.canonical.decode(), stored.replaces, row.server, state)
    change.put(_ADD, (stored.nid, stored.room_nid, *values))
    change.put(_PUT_MEMBERSHIP, (stored.room_nid, event.state_key, event.membership, stored.nid, position))


def find(cur: Cursor, event_nids: Collection[int]) -> dict[int, OutOfBand]:
    """By the number of the member event."""
    cur.execute(
        "SELECT event_nid, room_nid, version, event_id, json, replaces, server, room_state FROM out_of_band"
        " WHERE event_nid = ANY(%s)",
        (list(event_nids),),
    )
    return {row[0]: _read(row) for row in cur}


def _read(row: tuple[Any, ...]) -> OutOfBand:
    nid, room_nid, version, event_id, json, replaces, server, state = row
    event = from_pdu(orjson.loads(json), ROOM_VERSIONS[version], EventId(event_id), json.encode())
    stored = StoredEvent(nid, room_nid, event, flags=Flags.OUTLIER, replaces=replaces, has_children=False)
    return OutOfBand(stored, ServerName(server), orjson.loads(state))
