"""What is here already of what another server sends: one look for a whole transaction, before any of it is taken in."""

from collections.abc import Collection

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId, ServerName

# Longer ones, or with NUL, no event has; they are looked for by their own.
_MAX_LENGTH = 255


@frozen
class Sent:
    """A transaction, and the ids of its events."""

    origin: ServerName
    transaction_id: str
    event_ids: tuple[EventId, ...]


@frozen
class Found:
    """`answer`: what the transaction was answered before. `here`: events that are in the database.

    `referred`: events to which others refer, whether they are here or not: relations, and redactions that wait.
    """

    answer: str | None
    here: Collection[str]
    referred: Collection[str]


def find(cur: Cursor, wanted: list[Sent]) -> dict[Sent, Found]:
    """One statement."""
    ids = list(dict.fromkeys(one for sent in wanted for one in sent.event_ids if is_plain(one)))
    cur.execute(
        "SELECT (SELECT answer FROM federation_received r WHERE r.origin = v.origin AND r.transaction_id = v.id),"
        " ARRAY(SELECT event_id FROM events WHERE event_id = ANY(%(ids)s)),"
        " ARRAY(SELECT target_id FROM awaited_redactions WHERE target_id = ANY(%(ids)s)),"
        " ARRAY(SELECT i FROM unnest(%(ids)s::text[]) i WHERE EXISTS (SELECT FROM relations WHERE parent_id = i))"
        " FROM unnest(%(origins)s::text[], %(names)s::text[]) WITH ORDINALITY v (origin, id, number) ORDER BY v.number",
        {
            "ids": ids,
            "origins": [str(sent.origin) for sent in wanted],
            "names": [sent.transaction_id for sent in wanted],
        },
    )
    return {
        sent: Found(answer, frozenset(here), frozenset((*awaited, *related)))
        for sent, (answer, here, awaited, related) in zip(wanted, cur, strict=True)
    }


def is_plain(event_id: EventId) -> bool:
    """Can it be looked for together with others?"""
    return len(event_id) <= _MAX_LENGTH and "\x00" not in event_id
