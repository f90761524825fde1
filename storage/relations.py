"""Which events refer to which, by `m.relates_to`.

Source: client-server API, "Forming relationships between events".
"""

from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from matrix.relations import relation
from storage.change import At, Change, Delete, Insert
from storage.events import StoredEvent

MAX_LENGTH = 255

_ADD = Insert(
    "relations",
    {
        "event_nid": "bigint",
        "room_nid": "int",
        "parent_id": "text",
        "rel_type": "text",
        "aggregation_key": "text",
        "type": "text",
        "sender": "text",
        "position": "bigint",
        "depth": "bigint",
    },
    key=("event_nid",),
    on_conflict="ignore",
)
# What is redacted relates to nothing any more: "When a child event is redacted then the relationship is broken".
_BREAK = Delete("relations", {"event_nid": "bigint"})


def add(change: Change, stored: StoredEvent, position: At | int) -> None:
    """Puts the event's relation into the change, if it has one."""
    event = stored.event
    to = relation(event.content)
    if to is None or to.rel_type is None or event.is_state or not _fits(to.rel_type) or not _fits(to.key or ""):
        return
    row = (stored.nid, stored.room_nid, to.event_id, to.rel_type, to.key)
    change.put(_ADD, (*row, event.type, event.sender, position, event.depth))


def break_off(change: Change, redacted: StoredEvent) -> None:
    """Takes away the relation of an event that the change redacts, if it has one."""
    if "m.relates_to" in redacted.event.content:
        change.put(_BREAK, (redacted.nid,))


def has_annotated(cur: Cursor, parent_id: EventId, sender: str, event_type: str, key: str) -> bool:
    """Has the user annotated the event so already, and not redacted it?"""
    cur.execute(
        "SELECT 1 FROM relations r JOIN events e USING (event_nid) WHERE r.parent_id = %s"
        " AND r.rel_type = 'm.annotation' AND r.sender = %s AND r.type = %s AND r.aggregation_key = %s"
        " AND e.redacted_by IS NULL LIMIT 1",
        (parent_id, sender, event_type, key),
    )
    return cur.fetchone() is not None


def _fits(text: str) -> bool:
    """What an index can hold, and PostgreSQL's text; more is no relation that anyone could ask for."""
    return len(text) <= MAX_LENGTH and "\x00" not in text
