"""Searching the words of messages, names and topics.

Theory of operation. Words are not taken up by the commit that adds an event: that would be half as much work again
under the lock of the stream. Nothing is taken up at all until somebody searches for the first time. Then words follow
in batches, each one statement inside PostgreSQL, every few seconds and before each search: of new events, and from the
newest backwards of all that were there before.

An entry of the index is the words of a text and, as one more word, the room's number: so the index itself finds what
matches in the rooms asked for. Whether a match is still to be shown its event says.

Source: client-server API, "Server Side Search".
"""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.filters import EventFilter
from storage.history import IN_ORDER
from storage.stream import head_position

MESSAGE, NAME, TOPIC = "m.room.message", "m.room.name", "m.room.topic"
# Of what matches, so many of the newest are looked at.
MAX_MATCHES = 10_000
FOREVER = 2**62

# What no text of PostgreSQL can hold is six letters in the JSON, and so is what is put in its place.
_ADD_WORDS = f"""
INSERT INTO event_words (position, words)
SELECT e.position, to_tsvector('english', t.text) || array_to_tsvector(ARRAY[chr(1) || e.room_nid])
FROM events e
CROSS JOIN LATERAL (SELECT replace(e.json, '\\u0000', '\\ufffd')::json -> 'content' AS content) j
CROSS JOIN LATERAL (SELECT CASE e.type
    WHEN '{MESSAGE}' THEN j.content ->> 'body'
    WHEN '{NAME}' THEN j.content ->> 'name'
    ELSE concat_ws(' ', j.content ->> 'topic', (
        SELECT string_agg(x ->> 'body', ' ') FROM json_array_elements(
            CASE json_typeof(j.content -> 'm.topic' -> 'm.text') WHEN 'array' THEN j.content -> 'm.topic' -> 'm.text'
            ELSE '[]' END) x
        WHERE coalesce(x ->> 'mimetype', 'text/plain') = 'text/plain')) END AS text) t
WHERE e.position > %s AND e.position <= %s AND e.type IN ('{MESSAGE}', '{NAME}', '{TOPIC}')
    AND e.flags = 0 AND e.redacted_by IS NULL AND t.text <> ''
ON CONFLICT DO NOTHING
"""


def begin(cur: Cursor) -> None:
    """From now on words are taken up."""
    cur.execute(
        "INSERT INTO event_words_progress (newest, oldest) SELECT position, position + 1 FROM stream_head"
        " ON CONFLICT DO NOTHING"
    )


def take_up(cur: Cursor, limit: int) -> bool:
    """Adds the words of up to `limit` new positions, and of as many older events. Is anything left to take up?"""
    cur.execute("SELECT newest, oldest FROM event_words_progress FOR UPDATE")
    row = cur.fetchone()
    if row is None:
        return False
    newest, oldest = row
    head = head_position(cur)
    upto = min(head, newest + limit)
    if upto > newest:
        cur.execute(_ADD_WORDS, (newest, upto))
    cur.execute(
        f"{IN_ORDER}SELECT min(position), count(*) FROM"
        " (SELECT position FROM events WHERE position < %s ORDER BY position DESC LIMIT %s) v",
        (oldest, limit),
    )
    row = cur.fetchone()
    assert row is not None
    older = oldest if row[0] is None else row[0]
    if older < oldest:
        cur.execute(_ADD_WORDS, (older - 1, oldest - 1))
    if (upto, older) != (newest, oldest):
        cur.execute("UPDATE event_words_progress SET newest = %s, oldest = %s", (upto, older))
    return bool(upto < head or row[1] == limit)


@frozen(kw_only=True)
class WordQuery:
    """`untils`: up to which position each room is the reader's. `before`: only what lies before this position."""

    term: str
    room_nids: Sequence[int]
    untils: Sequence[int]
    types: Sequence[str]
    filter: EventFilter
    by_rank: bool
    before: int = FOREVER
    skip: int = 0
    limit: int


@frozen
class Match:
    """`count`: how many matches there are in all, MAX_MATCHES if there are more."""

    nid: int
    position: int
    rank: float
    count: int


def find_matches(cur: Cursor, query: WordQuery) -> list[Match]:
    """The matches in the order asked for: the most relevant, or the newest first."""
    words = _parse(cur, query.term)
    if not words or not query.room_nids:
        return []
    rooms = " | ".join(f"'\x01{room_nid}'" for room_nid in query.room_nids)
    senders, never = query.filter.senders.only, query.filter.senders.never
    values = {
        "words": words,
        "all": f"({words}) & ({rooms})",
        "matches": MAX_MATCHES,
        "rooms": list(query.room_nids),
        "untils": list(query.untils),
        "types": list(query.types),
        "senders": None if senders is None else [one for one in senders if "\x00" not in one],
        "never": [one for one in never if "\x00" not in one],
        "before": query.before,
        "skip": query.skip,
        "limit": query.limit,
    }
    order = "3 DESC, 2 DESC" if query.by_rank else "2 DESC"
    cur.execute(
        "WITH w AS MATERIALIZED (SELECT position, words FROM event_words"
        " WHERE words @@ %(all)s::tsquery AND position < %(before)s ORDER BY position DESC LIMIT %(matches)s)"
        " SELECT e.event_nid, w.position, ts_rank_cd(w.words, %(words)s::tsquery), count(*) OVER ()"
        " FROM w JOIN events e USING (position)"
        " JOIN unnest(%(rooms)s::int[], %(untils)s::bigint[]) AS r (room_nid, until) USING (room_nid)"
        " WHERE w.position <= r.until AND e.redacted_by IS NULL AND e.flags = 0 AND e.type = ANY(%(types)s)"
        " AND (%(senders)s::text[] IS NULL OR e.sender = ANY(%(senders)s)) AND e.sender <> ALL(%(never)s)"
        f" ORDER BY {order} LIMIT %(limit)s OFFSET %(skip)s",
        values,
    )
    return [Match(*row) for row in cur]


def find_highlights(cur: Cursor, term: str, texts: Sequence[str]) -> list[str]:
    """The words of the texts that the term found, in any of their forms."""
    words = _parse(cur, term)
    if not words or not texts:
        return []
    cur.execute(
        "SELECT ts_headline('english', v.text, %s::tsquery, %s) FROM unnest(%s::text[]) AS v (text)",
        (words, "StartSel=\x02, StopSel=\x03, HighlightAll=true", [_plain(text) for text in texts]),
    )
    found: dict[str, None] = {}
    for (headline,) in cur:
        found.update((part.partition("\x03")[0].lower(), None) for part in headline.split("\x02")[1:])
    return list(found)


def _parse(cur: Cursor, term: str) -> str:
    """The term as PostgreSQL's tsquery, empty if there is nothing in it to search for."""
    cur.execute("SELECT websearch_to_tsquery('english', %s)::text", (_plain(term),))
    row = cur.fetchone()
    assert row is not None
    return str(row[0])


def _plain(text: str) -> str:
    return "".join(character if character >= " " else " " for character in text)


@frozen(kw_only=True)
class Spot:
    """An event whose neighbours are wanted, as far as `until`."""

    nid: int
    room_nid: int
    depth: int
    position: int
    until: int


def find_neighbours(
    cur: Cursor, spots: Sequence[Spot], before: int, after: int
) -> dict[int, tuple[list[int], list[int]]]:
    """The numbers of the events before each (newest first) and after it (oldest first), by number."""
    side = (
        "SELECT v.nid, {forward}, e.event_nid FROM v CROSS JOIN LATERAL (SELECT event_nid FROM events"
        " WHERE room_nid = v.room_nid AND position IS NOT NULL AND flags = 0 AND position <= v.until"
        " AND (depth, position) {sign} (v.depth, v.position) ORDER BY depth {order}, position {order} LIMIT %s) e"
    )
    cur.execute(
        f"{IN_ORDER}WITH v AS MATERIALIZED (SELECT * FROM"
        " unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS v (nid, room_nid, depth, position, until)) "
        + side.format(forward="false", sign="<", order="DESC")
        + " UNION ALL "
        + side.format(forward="true", sign=">", order="ASC"),
        (
            [spot.nid for spot in spots],
            [spot.room_nid for spot in spots],
            [spot.depth for spot in spots],
            [spot.position for spot in spots],
            [spot.until for spot in spots],
            before,
            after,
        ),
    )
    found: dict[int, tuple[list[int], list[int]]] = {spot.nid: ([], []) for spot in spots}
    for nid, forward, neighbour in cur:
        found[nid][forward].append(neighbour)
    return found
