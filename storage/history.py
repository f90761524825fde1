"""A room's history by pages: ordered by (depth, position), which is nearly the order in which it came.

Only where events lie is read here; the events themselves are mostly in memory.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from matrix.filters import EventFilter
from matrix.tokens import PageToken, SyncToken
from storage import state

Token = SyncToken | PageToken

# A page is read off an index in its order. Of a room that it knows nothing about PostgreSQL guesses that it is small,
# and would rather read and sort all of it. The settings hold for the one message to the server, or for a transaction.
IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; "
# The deepest of so many newest events is taken for the deepest of all up to a position: forks are shorter.
_LOOK_BACK = 20
# A timestamp may be followed by so many events that the reader may not see.
_NEAREST = 50


class Place(NamedTuple):
    """Of an event. A tuple: a page makes a hundred of them."""

    nid: int
    depth: int
    position: int

    @property
    def before(self) -> PageToken:
        return PageToken.before(self.depth, self.position)

    @property
    def after(self) -> PageToken:
        return PageToken(self.depth, self.position)


@frozen(kw_only=True)
class Span:
    """A part of a room's history: what comes after all of `after`, and not after any of `upto`.

    `until`: nothing that came into the stream later, wherever it lies.
    """

    room_nid: int
    after: Sequence[Token] = ()
    upto: Sequence[Token] = ()
    until: int | None = None


def find_places(cur: Cursor, span: Span, wanted: EventFilter, limit: int, *, newest_first: bool) -> list[Place]:
    """The first or last places of the span that may hold what is wanted, in the order of reading.

    What SQL cannot judge of the filter is left to be judged on the events. Never rejected or soft-failed events.
    """
    conditions = ["e.room_nid = %s", "e.position IS NOT NULL", "e.flags = 0"]
    values: list[Any] = [span.room_nid]
    for sign, tokens in ((">", span.after), ("<=", span.upto)):
        for token in tokens:
            place = page_token(cur, span.room_nid, token, is_end=sign == "<=")
            conditions.append(f"(e.depth, e.position) {sign} (%s, %s)")
            values += [place.depth, place.position]
    if span.until is not None:
        conditions.append("e.position <= %s")
        values.append(span.until)
    _add_filter(wanted, conditions, values)
    order = "DESC" if newest_first else "ASC"
    cur.execute(
        f"{IN_ORDER}SELECT e.event_nid, e.depth, e.position FROM events e WHERE {' AND '.join(conditions)}"
        f" ORDER BY e.depth {order}, e.position {order} LIMIT %s",
        (*values, limit),
    )
    return list(map(Place._make, cur))


def page_token(cur: Cursor, room_nid: int, token: Token, *, is_end: bool = False) -> PageToken:
    """The place in the history that a token stands for.

    `is_end`: of what ends there. If a gap follows the token, what lies in the gap comes before that place too.
    """
    if isinstance(token, PageToken):
        return token
    cur.execute(
        f"{IN_ORDER}SELECT greatest(max(depth), 0) FROM ((SELECT depth FROM events WHERE room_nid = %s"
        " AND position <= %s ORDER BY position DESC LIMIT %s) UNION ALL (SELECT depth FROM events WHERE %s"
        " AND room_nid = %s AND position > %s AND flags = 0 ORDER BY position LIMIT 1)) near",
        (room_nid, token.position, _LOOK_BACK, is_end, room_nid, token.position),
    )
    row = cur.fetchone()
    assert row is not None
    return PageToken(row[0], token.position)


def around(cur: Cursor, span: Span, place: Place, wanted: EventFilter, limits: tuple[int, int]) -> list[list[Place]]:
    """The places before one, newest first, and after it, oldest first: as many as `limits`, and one more of each."""
    before = Span(room_nid=span.room_nid, upto=[*span.upto, place.before], until=span.until)
    after = Span(room_nid=span.room_nid, after=[place.after], upto=span.upto, until=span.until)
    return [
        find_places(cur, before, wanted, limits[0] + 1, newest_first=True),
        find_places(cur, after, wanted, limits[1] + 1, newest_first=False),
    ]


def nearest_in_time(cur: Cursor, room_nid: int, ts: int, *, forward: bool) -> list[int]:
    """The numbers of the events nearest to a time, at or after it, or at or before it; nearest first."""
    sign, order = (">=", "ASC") if forward else ("<=", "DESC")
    cur.execute(
        f"{IN_ORDER}SELECT event_nid FROM events WHERE room_nid = %s AND position IS NOT NULL AND flags = 0"
        f" AND origin_server_ts {sign} %s ORDER BY origin_server_ts {order}, depth {order}, position {order} LIMIT %s",
        (room_nid, ts, _NEAREST),
    )
    return [nid for (nid,) in cur]


def state_before(cur: Cursor, event_nid: int, members: Collection[str] | None = None) -> dict[StateKey, int]:
    """The state before an event, by (type, state_key); of the memberships only those of `members`, if given."""
    cur.execute(
        "SELECT e.room_nid, coalesce(s.base, e.position - 1), s.state_key_nids, s.event_nids FROM events e"
        " LEFT JOIN event_state s USING (event_nid) WHERE e.event_nid = %s",
        (event_nid,),
    )
    row = cur.fetchone()
    if row is None or row[1] is None:
        return {}
    room_nid, base, key_nids, nids = row
    cur.execute(
        "SELECT k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = %s AND s.since <= %s AND (s.until IS NULL OR s.until > %s)"
        " AND (k.type <> 'm.room.member' OR %s::text[] IS NULL OR k.state_key = ANY(%s))",
        (room_nid, base, base, *[None if members is None else list(members)] * 2),
    )
    found = {(event_type, state_key): nid for event_type, state_key, nid in cur}
    if key_nids:
        names = state.named(cur, key_nids)
        found.update((names[key], nid) for key, nid in zip(key_nids, nids, strict=True))
    return {
        key: nid
        for key, nid in found.items()
        if nid != state.ABSENT and (members is None or key[0] != "m.room.member" or key[1] in members)
    }


def _add_filter(wanted: EventFilter, conditions: list[str], values: list[Any]) -> None:
    def add(condition: str, texts: Iterable[str]) -> None:
        conditions.append(condition)
        # PostgreSQL's text has no NUL, and so no column has what a client may write here.
        values.append([text for text in texts if "\x00" not in text])

    if wanted.types is not None and not wanted.types.patterns:
        add("e.type = ANY(%s)", wanted.types.exact)
    if wanted.not_types is not None and wanted.not_types.exact:
        add("e.type <> ALL(%s)", wanted.not_types.exact)
    if wanted.senders.only is not None:
        add("e.sender = ANY(%s)", wanted.senders.only)
    if wanted.senders.never:
        add("e.sender <> ALL(%s)", wanted.senders.never)
    if wanted.contains_url:
        # Canonical JSON has no space there: whatever has a `url` that is text is among what this finds.
        conditions.append('e.json LIKE \'%%"url":"%%\'')
    if wanted.asks_relations:
        related = "EXISTS (SELECT 1 FROM relations r WHERE r.parent_id = e.event_id AND r.room_nid = e.room_nid"
        if wanted.related_by_rel_types is not None:
            related += " AND r.rel_type = ANY(%s)"
            values.append([text for text in wanted.related_by_rel_types if "\x00" not in text])
        if wanted.related_by_senders is not None:
            related += " AND r.sender = ANY(%s)"
            values.append(list(wanted.related_by_senders))
        conditions.append(related + ")")
