"""Events as other servers get them, as ready bytes: for the large answers, which are not worth making events of."""

from collections.abc import Collection

import orjson
from psycopg2.extensions import cursor as Cursor

from matrix import canonical_json
from matrix.redaction import redact
from matrix.room_versions import ROOM_VERSIONS


def find_pdus(cur: Cursor, nids: Collection[int]) -> list[bytes]:
    """The canonical JSON of those events that exist, in no order; of redacted ones what is left."""
    cur.execute(
        "SELECT e.json, r.version, e.redacted_by IS NOT NULL FROM events e JOIN rooms r USING (room_nid)"
        " WHERE e.event_nid = ANY(%s)",
        (list(nids),),
    )
    return [_redacted(json, version) if is_redacted else json.encode() for json, version, is_redacted in cur]


def find_event_ids(cur: Cursor, nids: Collection[int]) -> list[str]:
    """The ids of those events that exist, in no order."""
    cur.execute("SELECT coalesce(array_agg(event_id), '{}') FROM events WHERE event_nid = ANY(%s)", (list(nids),))
    row = cur.fetchone()
    assert row is not None
    return list(row[0])


def _redacted(json: str, version: str) -> bytes:
    return canonical_json.encode(redact(orjson.loads(json), ROOM_VERSIONS[version]))
