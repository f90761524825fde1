"""Rooms of which most members are not known yet: the marker, and what makes them whole.

Theory of operation. The state that was left out lies at the position `base`, where the known part of it lies: before
the join. Most of it are members of whom nothing was heard since, and these are filled in beside the stream, in small
parts: a truth that comes early does no harm. What has to be told otherwise than before is put right by one change.

Source: server-server API, PUT /send_join, `omit_members`; MSC3902.
"""

from collections.abc import Collection, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from matrix.ids import ServerName
from storage import state
from storage.change import Custom, Insert, Row
from storage.memberships import PUT as PUT_MEMBERSHIP

PUT = Insert(
    "partial_rooms",
    {"room_nid": "int", "join_nid": "bigint", "base": "bigint", "servers": "text[]", "completed": "bigint"},
    key=("room_nid",),
    on_conflict="update",
)
COMPLETE = Custom(
    {"room_nid": "int", "completed": "bigint"},
    "UPDATE partial_rooms p SET completed = v.completed FROM {v} WHERE p.room_nid = v.room_nid",
    key_indexes=(0,),
)
# A server has so many members more or fewer.
COUNT_SERVER = Custom(
    {"room_nid": "int", "server": "text", "delta": "int", "at": "bigint"},
    "SELECT count_room_server(v.room_nid, v.server, v.delta, v.at) FROM {v}",
    one_by_one=False,
)
# Servers that nobody has told of, and that are found in the room now, are new to it as of now.
FOUND_SERVERS = Custom(
    {"room_nid": "int", "base": "bigint", "servers": "text[]", "at": "bigint"},
    "UPDATE room_servers r SET since = v.at FROM {v} WHERE r.room_nid = v.room_nid AND r.until IS NULL"
    " AND r.since <= v.base AND r.server <> ALL(v.servers::text[])",
    key_indexes=(0,),
)
_INTERVAL = {"room_nid": "int", "state_key_nid": "int", "since": "bigint", "until": "bigint", "event_nid": "bigint"}
# All that is said of the key from the position on is said anew.
CLEAR = Custom(
    {"room_nid": "int", "state_key_nid": "int", "base": "bigint"},
    "WITH rows AS MATERIALIZED (SELECT v.* FROM {v}),"
    " gone AS (DELETE FROM room_state s USING rows v WHERE s.room_nid = v.room_nid"
    " AND s.state_key_nid = v.state_key_nid AND s.since >= v.base)"
    " UPDATE room_state s SET until = v.base FROM rows v WHERE s.room_nid = v.room_nid"
    " AND s.state_key_nid = v.state_key_nid AND s.since < v.base AND (s.until IS NULL OR s.until > v.base)",
    one_by_one=False,
)
INTERVAL = Insert("room_state", _INTERVAL)
# An event that is judged otherwise than before.
REJUDGED = Custom(
    {"event_nid": "bigint", "position": "bigint", "flags": "smallint", "replaces": "bigint"},
    "UPDATE events e SET position = v.position, flags = v.flags, replaces = v.replaces FROM {v}"
    " WHERE e.event_nid = v.event_nid",
    key_indexes=(0,),
)
# What had a position and has it no longer leaves nothing there: positions have no gaps.
GONE = Insert("stream", {"position": "bigint", "kind": "text", "body": "text"})
SET_HEAD = Custom(
    {"room_nid": "int", "head": "bigint", "extremities": "bigint[]"},
    "UPDATE rooms r SET head = v.head, extremities = v.extremities::bigint[] FROM {v} WHERE r.room_nid = v.room_nid",
    key_indexes=(0,),
)
_FILL = Insert("room_state", _INTERVAL)
_ADD_MEMBER = Insert("memberships", PUT_MEMBERSHIP.columns, key=("room_nid", "user_id"), on_conflict="ignore")


@frozen
class PartialRow:
    room_nid: int
    join_nid: int
    base: int
    servers: tuple[ServerName, ...]
    completed: int | None


def find_all(cur: Cursor) -> list[PartialRow]:
    cur.execute("SELECT room_nid, join_nid, base, servers, completed FROM partial_rooms")
    return [PartialRow(row[0], row[1], row[2], tuple(map(ServerName, row[3])), row[4]) for row in cur]


def find(cur: Cursor, room_nid: int) -> PartialRow | None:
    return next((row for row in find_all_of(cur, [room_nid])), None)


def find_all_of(cur: Cursor, room_nids: Collection[int]) -> list[PartialRow]:
    cur.execute(
        "SELECT room_nid, join_nid, base, servers, completed FROM partial_rooms WHERE room_nid = ANY(%s)",
        (list(room_nids),),
    )
    return [PartialRow(row[0], row[1], row[2], tuple(map(ServerName, row[3])), row[4]) for row in cur]


def text_array(values: Collection[str]) -> str:
    """The text of an array of names, none of which has a quote or a backslash."""
    return "{" + ",".join(f'"{value}"' for value in values) + "}"


def fill_in(cur: Cursor, room_nid: int, base: int, members: Sequence[tuple[int, str, str, int]]) -> None:
    """Members of whom nothing is known at `base`: (state_key_nid, user id, membership, event number).

    Holds the stream for as long as that takes: a few hundred at a time.
    """
    cur.execute("SELECT 1 FROM stream_head FOR UPDATE")
    cur.execute(
        "SELECT v.key, min(s.since) FILTER (WHERE s.since > %s),"
        " bool_or(s.since <= %s AND (s.until IS NULL OR s.until > %s))"
        " FROM unnest(%s::int[]) AS v (key) LEFT JOIN room_state s ON s.room_nid = %s AND s.state_key_nid = v.key"
        " GROUP BY 1",
        (base, base, base, [member[0] for member in members], room_nid),
    )
    found = {key: (until, is_known) for key, until, is_known in cur}
    lacking = [member for member in members if not found[member[0]][1]]
    _FILL.execute(cur, [(room_nid, key, base, found[key][0], nid) for key, _, _, nid in lacking])
    rows: list[Row] = [
        (room_nid, user, membership, nid, base, False)
        for key, user, membership, nid in lacking
        if found[key][0] is None
    ]
    _ADD_MEMBER.execute(cur, rows)


@frozen
class PhaseEvent:
    """An event that was judged while the state was not whole."""

    nid: int
    position: int | None
    flags: int
    replaces: int | None
    prev_nids: list[int]
    lacks_prev: bool
    has_delta: bool


@frozen
class Phase:
    """`at_base`: the state at the base; `moved`: the keys of which more is said since."""

    events: list[PhaseEvent]
    at_base: dict[StateKey, int]
    moved: set[StateKey]


def load_phase(cur: Cursor, room_nid: int, base: int) -> Phase:
    cur.execute(
        "SELECT e.event_nid, e.position, e.flags, e.replaces, e.prev_nids,"
        " EXISTS (SELECT 1 FROM missing_prev_events m WHERE m.room_nid = e.room_nid AND m.referrer_nid = e.event_nid),"
        " s.base IS NOT NULL FROM events e LEFT JOIN event_state s USING (event_nid) WHERE e.room_nid = %s"
        " AND (e.position > %s OR (s.base >= %s AND (e.position IS NULL OR e.position < 0)))",
        (room_nid, base, base),
    )
    events = [
        PhaseEvent(nid, position, flags, replaces, list(prev_nids or ()), lacks_prev, has_delta)
        for nid, position, flags, replaces, prev_nids, lacks_prev, has_delta in cur
    ]
    cur.execute(
        "SELECT DISTINCT k.type, k.state_key FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = %s AND s.since > %s",
        (room_nid, base),
    )
    moved = set(map(tuple, cur))
    return Phase(events, state.after_named(cur, room_nid, base), moved)
