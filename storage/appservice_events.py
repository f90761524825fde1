"""Events as application services that are behind read them from the database.

Most of a long queue are messages that say all by themselves. Of these no object is made that would be thrown away at
once: their bytes come ready from the thread that reads them, in the format of appservice/event_format.py.
"""

from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import Json
from storage.events import StoredEvent, find_events

REDACTION = "m.room.redaction"


@frozen
class PlainEvent:
    """No state and no redaction, not redacted, and refers to no other event.

    `told`: its JSON for clients with `room_id` and `user_id`, without its age, `unsigned` and the closing brace.
    """

    told: bytes
    origin_server_ts: int


def find_told(cur: Cursor, nids: list[int]) -> tuple[dict[int, PlainEvent], dict[int, StoredEvent]]:
    """The events that are plain, and the others. At most two statements."""
    cur.execute(
        "SELECT event_nid, event_id, json FROM events WHERE event_nid = ANY(%s) AND state_key_nid IS NULL"
        " AND redacted_by IS NULL AND type <> %s",
        (nids, REDACTION),
    )
    plain = {}
    for nid, event_id, text in cur:
        pdu = orjson.loads(text)
        if not _refers(pdu["content"]):
            plain[nid] = _plain(event_id, pdu)
    others = [nid for nid in nids if nid not in plain]
    return plain, find_events(cur, others) if others else {}


def _refers(content: Any) -> bool:
    """Perhaps: see matrix/event_references.py."""
    return "m.relates_to" in content or "redacts" in content


def _plain(event_id: str, pdu: Json) -> PlainEvent:
    sender, ts = pdu["sender"], pdu["origin_server_ts"]
    told = {
        "content": pdu["content"],
        "event_id": event_id,
        "origin_server_ts": ts,
        "sender": sender,
        "type": pdu["type"],
        "room_id": pdu["room_id"],
        "user_id": sender,
    }
    return PlainEvent(orjson.dumps(told)[:-1], ts)
