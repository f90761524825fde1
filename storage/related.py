"""What relates to events: summed up for bundles, by pages, and the threads of a room.

A relation that was redacted has no row: see `relations.BREAK`.
"""

from collections.abc import Collection, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.history import IN_ORDER, Place, Span, page_token

# Children are looked up one parent after another: this says so to a PostgreSQL that does not know yet how many there
# are. (`room_nid + 0` is no key of an index: the one of a room's threads is not for looking up children.)
_BY_INDEX = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
    " SET LOCAL enable_bitmapscan = off; "
)
# "GET /relations", `recurse`: servers should follow three relations.
MAX_DEPTH = 3
# Edits that look valid to SQL, of which the newest that is valid counts; references of one event.
_EDITS, _REFERENCES = 5, 1_000


@frozen
class Parent:
    """`until`: children that came later are not for the reader."""

    nid: int
    room_nid: int
    event_id: EventId
    sender: str
    type: str
    until: int


@frozen
class Children:
    """The children of one kind: how many, and whether one is the reader's.

    Of `m.thread` the latest; of `m.replace` the newest edits, newest first; of `m.reference` all, oldest first.
    """

    nid: int
    rel_type: str
    count: int
    participated: bool
    latest: int | None
    edits: Sequence[int] | None
    references: Sequence[str] | None


_BUNDLES = f"""
WITH p AS MATERIALIZED (
    SELECT * FROM unnest(%(nids)s::bigint[], %(rooms)s::int[], %(ids)s::text[], %(senders)s::text[], %(types)s::text[],
        %(until)s::bigint[]) AS v (nid, room_nid, event_id, sender, type, until)
), found AS (
    SELECT p.nid, r.rel_type, count(*) AS n, bool_or(r.sender = %(reader)s) AS mine
    FROM p JOIN relations r ON r.parent_id = p.event_id AND r.room_nid + 0 = p.room_nid AND r.position <= p.until
    WHERE r.rel_type IN ('m.replace', 'm.thread', 'm.reference') AND r.sender <> ALL(%(ignored)s)
    GROUP BY 1, 2
)
SELECT f.nid, f.rel_type, f.n, f.mine,
    CASE f.rel_type WHEN 'm.thread' THEN (
        SELECT r.event_nid FROM relations r
        WHERE r.parent_id = p.event_id AND r.rel_type = f.rel_type AND r.room_nid + 0 = p.room_nid
            AND r.position <= p.until AND r.sender <> ALL(%(ignored)s)
        ORDER BY r.depth DESC, r.position DESC LIMIT 1) END,
    CASE f.rel_type WHEN 'm.replace' THEN ARRAY(
        SELECT e.event_nid FROM relations r JOIN events e USING (event_nid)
        WHERE r.parent_id = p.event_id AND r.rel_type = 'm.replace' AND r.room_nid + 0 = p.room_nid
            AND r.position <= p.until AND r.sender = p.sender AND r.type = p.type
            AND (r.type = 'm.room.encrypted' OR e.json LIKE '%%"m.new_content":%%')
        ORDER BY e.origin_server_ts DESC, e.event_id COLLATE "C" DESC LIMIT {_EDITS}) END,
    CASE f.rel_type WHEN 'm.reference' THEN ARRAY(
        SELECT e.event_id FROM relations r JOIN events e USING (event_nid)
        WHERE r.parent_id = p.event_id AND r.rel_type = 'm.reference' AND r.room_nid + 0 = p.room_nid
            AND r.position <= p.until AND r.sender <> ALL(%(ignored)s)
        ORDER BY r.depth, r.position LIMIT {_REFERENCES}) END
FROM found f JOIN p USING (nid)
"""


def sum_up(cur: Cursor, parents: Sequence[Parent], reader: str, ignored: Collection[str]) -> list[Children]:
    """The children of these events that can be aggregated, without those of ignored users."""
    values = {
        "nids": [one.nid for one in parents],
        "rooms": [one.room_nid for one in parents],
        "ids": [one.event_id for one in parents],
        "senders": [one.sender for one in parents],
        "types": [one.type for one in parents],
        "until": [one.until for one in parents],
        "reader": reader,
        "ignored": list(ignored),
    }
    cur.execute(_BY_INDEX + _BUNDLES, values)
    return [Children(*row) for row in cur]


@frozen(kw_only=True)
class RelationQuery:
    """`depth`: how many relations to follow. `rel_type` and `event_type` hold for each of them."""

    parent_id: EventId
    rel_type: str | None = None
    event_type: str | None = None
    depth: int = 1


def find_children(
    cur: Cursor, query: RelationQuery, span: Span, limit: int, *, newest_first: bool
) -> list[tuple[Place, int]]:
    """What relates to an event, directly or not, with how many relations lie between."""
    conditions = "r.room_nid + 0 = %(room)s"
    conditions += "" if query.rel_type is None else " AND r.rel_type = %(rel_type)s"
    conditions += "" if query.event_type is None else " AND r.type = %(type)s"
    values = {
        "room": span.room_nid,
        "parent": query.parent_id,
        "rel_type": query.rel_type,
        "type": query.event_type,
        "depth": query.depth,
        "limit": limit,
        "until": span.until,
    }
    within = "" if span.until is None else " AND f.position <= %(until)s"
    for sign, tokens in ((">", span.after), ("<=", span.upto)):
        for token in tokens:
            place, name = page_token(cur, span.room_nid, token), f"{'after' if sign == '>' else 'upto'}"
            within += f" AND (f.depth, f.position) {sign} (%({name}_depth)s, %({name}_position)s)"
            values |= {f"{name}_depth": place.depth, f"{name}_position": place.position}
    order = "DESC" if newest_first else "ASC"
    again = (
        ""
        if query.depth == 1
        else " UNION SELECT r.event_nid, r.depth, r.position, f.far + 1 FROM f JOIN events e USING (event_nid)"
        f" JOIN relations r ON r.parent_id = e.event_id WHERE f.far < %(depth)s AND {conditions}"
    )
    # UNION without ALL: what relates to two events of the tree is there once for each depth, and rings end.
    cur.execute(
        f"{_BY_INDEX}WITH RECURSIVE f (event_nid, depth, position, far) AS ("
        f"SELECT r.event_nid, r.depth, r.position, 1 FROM relations r WHERE r.parent_id = %(parent)s AND {conditions}"
        f"{again}) SELECT f.event_nid, f.depth, f.position, min(f.far) FROM f"
        f" WHERE true{within} GROUP BY 1, 2, 3 ORDER BY f.depth {order}, f.position {order} LIMIT %(limit)s",
        values,
    )
    return [(Place(nid, depth, position), far) for nid, depth, position, far in cur]


def find_threads(
    cur: Cursor, span: Span, limit: int, *, ignored: Collection[str], participant: str | None
) -> list[tuple[Place, EventId]]:
    """The newest event of each thread that the span has, and the thread's root; newest first.

    From the newest event of all threads backwards, those are passed over that have a newer one in their thread: each
    costs a look at an index. (OFFSET 0 keeps PostgreSQL from making joins of these looks, or from putting the
    participant before them.) `participant`: only threads that this user has written in or begun.
    """
    values = {"room": span.room_nid, "ignored": list(ignored), "limit": limit, "who": participant, "until": span.until}
    until = "" if span.until is None else " AND {}.position <= %(until)s"
    within = until.format("r")
    for token in span.upto:
        place = page_token(cur, span.room_nid, token)
        within += " AND (r.depth, r.position) <= (%(upto_depth)s, %(upto_position)s)"
        values |= {"upto_depth": place.depth, "upto_position": place.position}
    in_thread = "x.parent_id = r.parent_id AND x.rel_type = 'm.thread' AND x.room_nid + 0 = r.room_nid"
    newer = f"{in_thread} AND x.sender <> ALL(%(ignored)s){until.format('x')}"
    participated = (
        ""
        if participant is None
        else (
            f" WHERE EXISTS (SELECT 1 FROM relations x WHERE {in_thread} AND x.sender = %(who)s OFFSET 0)"
            " OR EXISTS (SELECT 1 FROM events e WHERE e.event_id = r.parent_id AND e.sender = %(who)s OFFSET 0)"
        )
    )
    cur.execute(
        f"{IN_ORDER}SELECT r.event_nid, r.depth, r.position, r.parent_id FROM (SELECT r.* FROM relations r"
        " WHERE r.room_nid = %(room)s AND r.rel_type = 'm.thread' AND r.sender <> ALL(%(ignored)s)"
        f"{within} AND NOT EXISTS (SELECT 1 FROM relations x"
        f" WHERE {newer} AND (x.depth, x.position) > (r.depth, r.position) OFFSET 0)"
        f" ORDER BY r.depth DESC, r.position DESC OFFSET 0) r{participated} LIMIT %(limit)s",
        values,
    )
    return [(Place(nid, depth, position), EventId(parent_id)) for nid, depth, position, parent_id in cur]
