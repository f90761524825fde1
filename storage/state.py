"""Room state as intervals of positions, with deltas only where an event's state is off the main line.

Theory of operation. A room's history on one server is nearly linear. For each (type, state_key) `room_state` says
which event was the room's resolved state in which range of stream positions: [since, until), open while current.
A key that left the state has an interval too, with ABSENT for its event, so that a key's intervals meet without gaps.
So the state after position p is read off the intervals, and the state before an event whose prev_events were the
room's extremities is the state after the position before its own: no row for it at all. Rows are proportional to
changes of state, not to events times state.

An event elsewhere (a fork, a late arrival, fetched history) has one row in `event_state`: what differs from the
intervals at a base position. Always from the intervals, never from another event's state, so that reading it is two
look-ups and no chain can grow.

All functions speak in numbers: state_key_nid -> event_nid.
"""

from collections.abc import Collection, Mapping, Sequence

from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from storage.change import At, Change, Custom, Insert, int_array
from storage.prepared import Often

NidMap = dict[int, int]
ABSENT = 0  # in place of an event's number: the key is not in the state

_THERE = f" AND event_nid <> {ABSENT}"

# The rows of one batch may set a key more than once: each ends where the next begins.
_SET = Custom(
    {"room_nid": "int", "state_key_nid": "int", "since": "bigint", "event_nid": "bigint"},
    "WITH new AS MATERIALIZED (SELECT v.*, lead(since) OVER key AS until, row_number() OVER key AS nth FROM {v}"
    " WINDOW key AS (PARTITION BY room_nid, state_key_nid ORDER BY since)),"
    " ended AS (UPDATE room_state s SET until = new.since FROM new WHERE new.nth = 1 AND s.until IS NULL"
    " AND s.room_nid = new.room_nid AND s.state_key_nid = new.state_key_nid)"
    " INSERT INTO room_state (room_nid, state_key_nid, since, until, event_nid)"
    " SELECT room_nid, state_key_nid, since, until, event_nid FROM new",
)
_PUT_DELTA = Insert(
    "event_state",
    {"event_nid": "bigint", "base": "bigint", "state_key_nids": "int[]", "event_nids": "bigint[]"},
    key=("event_nid",),
    on_conflict="update",
)


def set_state(change: Change, room_nid: int, state_key_nid: int, event_nid: int, position: object) -> None:
    """From `position` (an `At`) on the event is the room's state for the key; ABSENT ends it without another."""
    change.put(_SET, (room_nid, state_key_nid, position, event_nid))


def put_delta(change: Change, event_nid: int, base: At | int, delta: Mapping[int, int]) -> None:
    """The state before an event is the state after position `base`, but for `delta` (ABSENT: not there)."""
    change.put(_PUT_DELTA, (event_nid, base, int_array(list(delta)), int_array(list(delta.values()))))


def difference(base: Mapping[int, int], state: Mapping[int, int]) -> NidMap:
    """The delta that makes `state` of `base`."""
    delta = {key: nid for key, nid in state.items() if base.get(key) != nid}
    delta.update((key, ABSENT) for key in base if key not in state)
    return delta


def current(cur: Cursor, room_nid: int, keys: Collection[int] | None = None) -> NidMap:
    """The room's resolved state now, whole or for these keys."""
    return _nids(cur, "until IS NULL", (room_nid,), keys)


def after(cur: Cursor, room_nid: int, position: int, keys: Collection[int] | None = None) -> NidMap:
    """The room's resolved state once the event at `position` was there, whole or for these keys."""
    return _nids(cur, "since <= %s AND (until IS NULL OR until > %s)", (room_nid, position, position), keys)


def _nids(cur: Cursor, when: str, values: tuple[int, ...], keys: Collection[int] | None) -> NidMap:
    where = f" FROM room_state WHERE room_nid = %s AND {when}{_THERE}"
    if keys is not None:
        sql = Often(f"SELECT state_key_nid, event_nid{where} AND state_key_nid = ANY(%s)")
        cur.execute(sql, (*values, list(keys)))
        return dict(cur.fetchall())
    # Two long arrays: half the CPU of as many rows.
    cur.execute(f"SELECT array_agg(state_key_nid), array_agg(event_nid){where}", values)
    key_nids, nids = cur.fetchone() or (None, None)
    return dict(zip(key_nids or (), nids or (), strict=True))


def before_event(cur: Cursor, event_nid: int, keys: Collection[int] | None = None) -> NidMap:
    """The state before an event, whole or for these keys. Empty for an event without known state (an outlier)."""
    cur.execute(
        Often(
            "SELECT e.room_nid, e.position, s.base, s.state_key_nids, s.event_nids FROM events e"
            " LEFT JOIN event_state s USING (event_nid) WHERE e.event_nid = %s"
        ),
        (event_nid,),
    )
    row = cur.fetchone()
    if row is None:
        return {}
    room_nid, position, base, key_nids, nids = row
    if base is not None:
        return _overlaid(after(cur, room_nid, base, keys), key_nids, nids, keys)
    if position is None or position < 0:
        return {}
    return after(cur, room_nid, position - 1, keys)


def changes_between(cur: Cursor, room_nid: int, since: int, upto: int) -> NidMap:
    """What of the state after `upto` came into it in (since, upto]; ABSENT for keys that left it then."""
    cur.execute(
        Often(
            "SELECT state_key_nid, event_nid FROM room_state WHERE room_nid = %s AND since > %s AND since <= %s"
            " AND (until IS NULL OR until > %s)"
        ),
        (room_nid, since, upto, upto),
    )
    return dict(cur.fetchall())


def _overlaid(state: NidMap, key_nids: Sequence[int], nids: Sequence[int], keys: Collection[int] | None) -> NidMap:
    for key, nid in zip(key_nids, nids, strict=True):
        if keys is not None and key not in keys:
            continue
        if nid == ABSENT:
            state.pop(key, None)
        else:
            state[key] = nid
    return state


def history(cur: Cursor, room_nid: int, keys: Collection[StateKey]) -> list[tuple[StateKey, int, int | None, int]]:
    """All intervals of a few keys, oldest first: (key, since, until, event_nid)."""
    return histories(cur, [room_nid], keys)[room_nid]


def histories(
    cur: Cursor, room_nids: Sequence[int], keys: Collection[StateKey]
) -> dict[int, list[tuple[StateKey, int, int | None, int]]]:
    """As `history`, of several rooms, by room."""
    cur.execute(
        Often(
            "SELECT s.room_nid, k.type, k.state_key, s.since, s.until, s.event_nid FROM room_state s JOIN state_keys k"
            " USING (state_key_nid) JOIN unnest(%s::text[], %s::text[]) AS v (type, state_key) USING (type, state_key)"
            f" WHERE s.room_nid = ANY(%s){_THERE} ORDER BY s.since"
        ),
        ([key[0] for key in keys], [key[1] for key in keys], list(room_nids)),
    )
    found: dict[int, list[tuple[StateKey, int, int | None, int]]] = {room_nid: [] for room_nid in room_nids}
    for room_nid, type_, state_key, since, until, nid in cur:
        found[room_nid].append(((type_, state_key), since, until, nid))
    return found


def named(cur: Cursor, nids: Collection[int]) -> dict[int, StateKey]:
    """(type, state_key) by state_key_nid."""
    cur.execute(
        Often("SELECT state_key_nid, type, state_key FROM state_keys WHERE state_key_nid = ANY(%s)"), (list(nids),)
    )
    return {nid: (type_, state_key) for nid, type_, state_key in cur}


def after_named(cur: Cursor, room_nid: int, position: int) -> dict[StateKey, int]:
    """As `after`, by (type, state_key)."""
    cur.execute(
        "SELECT k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        f" WHERE s.room_nid = %s AND s.since <= %s AND (s.until IS NULL OR s.until > %s){_THERE}",
        (room_nid, position, position),
    )
    return {(type_, state_key): nid for type_, state_key, nid in cur}


def changes_between_named(cur: Cursor, room_nid: int, since: int, upto: int) -> dict[StateKey, int]:
    """As `changes_between`, by (type, state_key)."""
    changed = changes_between(cur, room_nid, since, upto)
    names = named(cur, changed)
    return {names[key]: nid for key, nid in changed.items()}


def at_position(cur: Cursor, room_nid: int, position: int, keys: Collection[StateKey]) -> dict[StateKey, int]:
    """As `after`, for a few keys, by (type, state_key)."""
    cur.execute(
        Often(
            "SELECT k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
            " JOIN unnest(%s::text[], %s::text[]) AS v (type, state_key) USING (type, state_key)"
            f" WHERE s.room_nid = %s AND s.since <= %s AND (s.until IS NULL OR s.until > %s){_THERE}"
        ),
        ([key[0] for key in keys], [key[1] for key in keys], room_nid, position, position),
    )
    return {(type_, state_key): nid for type_, state_key, nid in cur}


def keys_before(cur: Cursor, event_nids: Collection[int], keys: Collection[StateKey]) -> dict[int, dict[StateKey, int]]:
    """Of the states before some events a few keys, by event and (type, state_key)."""
    cur.execute(
        Often(
            "SELECT e.event_nid, k.type, k.state_key, coalesce(d.nid, s.event_nid) FROM events e"
            " CROSS JOIN (SELECT state_key_nid, type, state_key FROM state_keys"
            " JOIN unnest(%s::text[], %s::text[]) AS v (type, state_key) USING (type, state_key)) k"
            " LEFT JOIN event_state x USING (event_nid)"
            " LEFT JOIN LATERAL (SELECT u.nid FROM unnest(x.state_key_nids, x.event_nids) AS u (key, nid)"
            " WHERE u.key = k.state_key_nid) d ON true"
            " LEFT JOIN room_state s ON s.room_nid = e.room_nid AND s.state_key_nid = k.state_key_nid"
            " AND s.since <= coalesce(x.base, e.position - 1)"
            " AND (s.until IS NULL OR s.until > coalesce(x.base, e.position - 1)) WHERE e.event_nid = ANY(%s)"
        ),
        ([key[0] for key in keys], [key[1] for key in keys], list(event_nids)),
    )
    found: dict[int, dict[StateKey, int]] = {}
    for event_nid, type_, state_key, nid in cur:
        if nid:
            found.setdefault(event_nid, {})[(type_, state_key)] = nid
    return found
