"""Redactions whose target is not here yet: it is redacted as it comes."""

from collections.abc import Collection

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import Change, Insert

_MAX_LENGTH = 255

_ADD = Insert(
    "awaited_redactions",
    {"target_id": "text", "redaction_nid": "bigint", "may_any": "bool"},
    key=("target_id", "redaction_nid"),
    on_conflict="ignore",
)


@frozen
class AwaitedRedaction:
    """`may_any`: its sender may redact events of other servers too."""

    nid: int
    room_nid: int
    sender: str
    may_any: bool


def add(change: Change, target_id: EventId, redaction_nid: int, *, may_any: bool) -> None:
    if len(target_id) <= _MAX_LENGTH and "\x00" not in target_id:
        change.put(_ADD, (target_id, redaction_nid, may_any))


def find(cur: Cursor, target_ids: Collection[EventId]) -> dict[EventId, list[AwaitedRedaction]]:
    """The redactions that wait for these events, the first to come first."""
    cur.execute(
        "SELECT a.target_id, a.redaction_nid, e.room_nid, e.sender, a.may_any FROM awaited_redactions a"
        " JOIN events e ON e.event_nid = a.redaction_nid WHERE a.target_id = ANY(%s) AND e.flags = 0"
        " ORDER BY a.redaction_nid",
        (list(target_ids),),
    )
    found: dict[EventId, list[AwaitedRedaction]] = {}
    for target_id, *redaction in cur:
        found.setdefault(EventId(target_id), []).append(AwaitedRedaction(*redaction))
    return found
