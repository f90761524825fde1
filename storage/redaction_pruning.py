"""Takes what was redacted out of the database too, some time after the redaction.

How old a redaction is, its sender may claim as they like. So the position of the stream is noted from time to time, and
what lies before a position that is old enough is old enough.
"""

import orjson
from psycopg2.extensions import cursor as Cursor

from matrix import canonical_json
from matrix.events import from_pdu
from matrix.ids import EventId
from matrix.redaction import redact
from matrix.room_versions import ROOM_VERSIONS
from storage.stream import head_position


def prune(cur: Cursor, now_ms: int, keep_ms: int, limit: int = 5_000) -> int:
    """Notes the position of now, and prunes what the next `limit` positions redacted; gives how many these were.

    Redactions of history that was fetched later, which are at no such position, are left out.
    """
    cur.execute(
        "INSERT INTO redaction_marks (made_ms, position) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (now_ms, head_position(cur)),
    )
    cur.execute("SELECT position FROM redaction_pruning FOR UPDATE")
    row = cur.fetchone()
    assert row is not None
    done = int(row[0])
    cur.execute("SELECT max(position) FROM redaction_marks WHERE made_ms <= %s", (now_ms - keep_ms,))
    row = cur.fetchone()
    upto = min(done + limit, int(row[0] or 0) if row else 0)
    if upto <= done:
        return 0
    _prune_targets(cur, _targets(cur, done, upto))
    cur.execute("UPDATE redaction_pruning SET position = %s", (upto,))
    cur.execute(
        "DELETE FROM redaction_marks WHERE made_ms <= %s AND position <= %s AND made_ms <"
        " (SELECT max(made_ms) FROM redaction_marks)",
        (now_ms - keep_ms, upto),
    )
    return upto - done


def _targets(cur: Cursor, after: int, upto: int) -> list[str]:
    """The ids of what was redacted between the positions."""
    cur.execute(
        "SELECT e.event_id, e.json, r.version FROM events e JOIN rooms r USING (room_nid)"
        " WHERE e.position > %s AND e.position <= %s AND e.type = 'm.room.redaction'",
        (after, upto),
    )
    events = [from_pdu(orjson.loads(json), ROOM_VERSIONS[version], EventId(one)) for one, json, version in cur]
    return [event.redacts for event in events if event.redacts is not None and "\x00" not in event.redacts]


def _prune_targets(cur: Cursor, event_ids: list[str]) -> None:
    cur.execute(
        "SELECT e.event_nid, e.json, r.version FROM events e JOIN rooms r USING (room_nid)"
        " WHERE e.event_id = ANY(%s) AND e.redacted_by IS NOT NULL ORDER BY e.event_nid",
        (event_ids,),
    )
    pruned = [
        (nid, canonical_json.encode(redact(orjson.loads(json), ROOM_VERSIONS[version])).decode())
        for nid, json, version in cur
    ]
    if pruned:
        cur.execute(
            "UPDATE events e SET json = v.json FROM unnest(%s::bigint[], %s::text[]) AS v (event_nid, json)"
            " WHERE e.event_nid = v.event_nid",
            ([nid for nid, _ in pruned], [json for _, json in pruned]),
        )
