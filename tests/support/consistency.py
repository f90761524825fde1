"""Is a whole database of one piece? What a kill, a race or a bad commit could have torn, looked for with fresh eyes.

    assert faults(dsn) == []

Reads everything and believes nothing that is said twice: intervals, memberships, heads and extremities are compared
with what follows from the events. For databases of tests, without purges. What other servers sent may be odd in itself
(its depth, the order in which it came); what is kept of it must not be.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import psycopg2
from attrs import define, frozen

from matrix.hashing import event_id_of
from matrix.room_versions import ROOM_VERSIONS
from storage.events import Flags

MAX_DEPTH = 2**53 - 1
OUTLIER, REJECTED = int(Flags.OUTLIER), int(Flags.REJECTED)


@frozen
class _Event:
    nid: int
    room: int
    position: int | None
    depth: int
    event_id: str
    type: str
    key_nid: int | None
    flags: int
    replaces: int | None
    prev: list[int]
    auth: list[int]
    pdu: dict[str, Any]


@frozen
class _Interval:
    since: int
    until: int | None
    nid: int


@define
class _Database:
    events: dict[int, _Event]
    head: int
    stream: list[int]
    rooms: dict[int, tuple[str, int, list[int]]]  # version, head, extremities
    intervals: dict[tuple[int, int], list[_Interval]]
    off_line: set[int]  # events with a delta
    memberships: dict[tuple[int, str], tuple[str, int, int]]
    referring: dict[str, list[int]]  # event numbers that other tables name
    missing: dict[int, set[str]]  # by who names them
    gaps: dict[int, int]  # by room the position of the last
    out_of_band: set[int]
    servers: set[str]  # ours


def faults(dsn: str) -> list[str]:
    """What is wrong, in words; nothing if all is well."""
    connection = psycopg2.connect(dsn)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        database = _read(connection)
    finally:
        connection.close()
    return [
        fault
        for check in (_positions, _rows, _graph, _heads, _intervals, _memberships, _references)
        for fault in check(database)
    ]


def _read(connection: Any) -> _Database:
    def rows(sql: str) -> list[tuple[Any, ...]]:
        cur = connection.cursor()
        cur.execute(sql)
        found: list[tuple[Any, ...]] = cur.fetchall()
        return found

    columns = (
        "event_nid, room_nid, position, depth, event_id, type, state_key_nid, flags, replaces, prev_nids, auth_nids"
    )
    events = [_event(*row) for row in rows(f"SELECT {columns}, json FROM events")]
    intervals: dict[tuple[int, int], list[_Interval]] = {}
    for room, key, *interval in rows(
        "SELECT room_nid, state_key_nid, since, until, event_nid FROM room_state ORDER BY since"
    ):
        intervals.setdefault((room, key), []).append(_Interval(*interval))
    missing: dict[int, set[str]] = {}
    for referrer, event_id in rows("SELECT referrer_nid, event_id FROM missing_prev_events"):
        missing.setdefault(referrer, set()).add(event_id)
    return _Database(
        events={event.nid: event for event in events},
        head=rows("SELECT position FROM stream_head")[0][0],
        stream=[position for (position,) in rows("SELECT position FROM stream")],
        rooms={row[0]: row[1:] for row in rows("SELECT room_nid, version, head, extremities FROM rooms")},
        intervals=intervals,
        off_line={nid for (nid,) in rows("SELECT event_nid FROM event_state")},
        memberships={
            (room, user): (membership, nid, position)
            for room, user, membership, nid, position in rows(
                "SELECT room_nid, user_id, membership, event_nid, position FROM memberships"
            )
        },
        referring={
            table: [nid for (nid,) in rows(f"SELECT event_nid FROM {table}")]
            for table in ("event_transactions", "relations", "event_state", "room_state", "memberships")
        },
        missing=missing,
        gaps=dict(rows("SELECT room_nid, max(position) FROM timeline_gaps GROUP BY 1")),
        out_of_band={nid for (nid,) in rows("SELECT event_nid FROM out_of_band")},
        servers={user.partition(":")[2] for (user,) in rows("SELECT user_id FROM users")},
    )


def _event(*row: Any) -> _Event:
    values = (*row[:-1], orjson.loads(row[-1]))
    return _Event(*values)


def _positions(database: _Database) -> Iterator[str]:
    """Every position up to the head was given to one thing."""
    placed = [event.position for event in database.events.values() if event.position is not None and event.position > 0]
    count = Counter(placed + database.stream)
    yield from (f"position {position} was given {times} times" for position, times in count.items() if times > 1)
    yield from (f"nothing has position {n}" for n in range(1, database.head + 1) if n not in count)
    yield from (f"position {n} is beyond the head {database.head}" for n in count if n > database.head)


def _rows(database: _Database) -> Iterator[str]:
    """The columns of an event say what its JSON says, and its id is its hash."""
    for event in database.events.values():
        version = ROOM_VERSIONS[database.rooms[event.room][0]]
        if version.event_id_is_hash and event_id_of(event.pdu, version) != event.event_id:
            yield f"event {event.nid} is not what its id says"
        if (event.pdu["type"], event.pdu["depth"]) != (event.type, event.depth):
            yield f"event {event.nid} has columns that are not its own"
        if ("state_key" in event.pdu) != (event.key_nid is not None):
            yield f"event {event.nid} has a state key in one place only"
    ids = Counter(event.event_id for event in database.events.values())
    yield from (f"{event_id} is there {times} times" for event_id, times in ids.items() if times > 1)


def _graph(database: _Database) -> Iterator[str]:
    """What events name is there, of the same room; what they rest on has smaller numbers."""
    for event in database.events.values():
        if not ROOM_VERSIONS[database.rooms[event.room][0]].event_id_is_hash:
            continue
        is_outlier, is_rejected = event.flags & OUTLIER, event.flags & REJECTED
        for name, nids in (("prev_events", event.prev), ("auth_events", event.auth)):
            named = [database.events.get(nid) for nid in nids]
            if None in named or any(one is not None and one.room != event.room and not is_rejected for one in named):
                yield f"event {event.nid} has {name} that are not there"
            known = {one.event_id for one in named if one is not None}
            if name == "prev_events":
                known |= database.missing.get(event.nid, set())
            if known != set(event.pdu[name]) and not (is_outlier and name == "prev_events"):
                yield f"event {event.nid} has {name} other than its JSON"
        if any(nid >= event.nid for nid in event.auth):
            yield f"event {event.nid} has a smaller number than its auth_events"
        if event.pdu["sender"].partition(":")[2] in database.servers and not database.missing.get(event.nid):
            yield from _own(database, event)


def _own(database: _Database, event: _Event) -> Iterator[str]:
    """An event of this server comes after what it names."""
    prev = [database.events[nid] for nid in event.prev if nid in database.events]
    depth = min(MAX_DEPTH, max((one.depth for one in prev), default=0) + 1)
    # History that a bridge has imported is as deep as what it stands before, also where it follows a membership there.
    is_history = (event.position or 0) <= 0 and event.depth == depth - 1
    if event.depth != depth and not is_history:
        yield f"event {event.nid} has depth {event.depth}"
    # What a join by way of another server follows may come after it.
    has_gap = event.room in database.gaps
    if not has_gap and any((one.position or 0) >= (event.position or 0) for one in prev if (event.position or 0) > 0):
        yield f"event {event.nid} came before its prev_events"


def _heads(database: _Database) -> Iterator[str]:
    """A room's head is its last event, its extremities those that no other follows."""
    for room, (_, head, extremities) in database.rooms.items():
        events = [event for event in _in_room(database, room) if (event.position or 0) > 0]
        followed = _followed(database, events)
        if head != max((event.position or 0 for event in events), default=0):
            yield f"room {room} has the head {head}"
        open_ends = {event.nid for event in events if event.nid not in followed}
        # Who comes back into a room begins anew after the gap.
        before_gap = {event.nid for event in events if (event.position or 0) < database.gaps.get(room, 0)}
        if not set(extremities) <= open_ends or not open_ends - set(extremities) <= before_gap:
            yield f"room {room} has the extremities {extremities}, not {open_ends}"


def _followed(database: _Database, events: Iterable[_Event]) -> set[int]:
    """What these events follow, also by way of events that were rejected or soft-failed."""
    followed: set[int] = set()
    stack = [nid for event in events for nid in event.prev]
    while stack:
        nid = stack.pop()
        if nid not in followed:
            followed.add(nid)
            event = database.events.get(nid)
            if event is not None and event.flags:
                stack += event.prev
    return followed


def _intervals(database: _Database) -> Iterator[str]:
    """A key's intervals meet, the last is open; each begins with its event, or where state was resolved or told."""
    placed = {event.position: event for event in database.events.values() if event.position is not None}
    for (room, key), intervals in database.intervals.items():
        ends = [interval.until for interval in intervals]
        if ends != [*(interval.since for interval in intervals[1:]), None]:
            yield f"the intervals of key {key} in room {room} do not meet: {intervals}"
        for interval in intervals:
            event = database.events.get(interval.nid)
            if interval.nid != 0 and (event is None or event.key_nid != key or event.room != room):
                yield f"key {key} of room {room} has event {interval.nid}, which is not one of it"
            elif event is not None and event.flags & REJECTED:
                yield f"key {key} of room {room} has event {interval.nid}, which was rejected"
            if (at := placed.get(interval.since)) is not None and at.nid != interval.nid:
                yield f"key {key} of room {room} becomes {interval.nid} with event {at.nid}"
    yield from _replaced(database)


def _replaced(database: _Database) -> Iterator[str]:
    """On the line each state event begins an interval; off it, if state resolution preferred it."""
    for event in database.events.values():
        if event.key_nid is None or event.flags or (event.position or 0) <= 0:
            continue
        known = database.intervals.get((event.room, event.key_nid), [])
        at_position = next((index for index, one in enumerate(known) if one.since == event.position), None)
        if at_position is None:
            if event.replaces != 0 or event.nid not in database.off_line:
                yield f"event {event.nid} did not become state at its position"
        elif (event.replaces or 0) != (known[at_position - 1].nid if at_position else 0):
            yield f"event {event.nid} does not replace what was there: {event.replaces}"


def _memberships(database: _Database) -> Iterator[str]:
    """Who is in a room is what its state says."""
    wanted = {}
    for intervals in database.intervals.values():
        event = database.events.get(intervals[-1].nid)
        if event is not None and event.type == "m.room.member":
            said = (event.pdu["content"]["membership"], event.nid, intervals[-1].since)
            wanted[(event.room, event.pdu["state_key"])] = said
    for key in wanted.keys() | database.memberships.keys():
        said = database.memberships.get(key)
        if said is not None and (said[1] in database.out_of_band or (said[0] == "leave" and key not in wanted)):
            continue
        if wanted.get(key) != said:
            yield f"the membership of {key} is {said}, by the state {wanted.get(key)}"


def _references(database: _Database) -> Iterator[str]:
    there = {0, *database.events, *database.out_of_band}
    for table, nids in database.referring.items():
        yield from (f"{table} names event {nid}" for nid in nids if nid not in there)
    times = Counter(database.referring["event_transactions"])
    yield from (f"event {nid} has {count} transactions" for nid, count in times.items() if count > 1)


def _in_room(database: _Database, room: int) -> Iterable[_Event]:
    return [
        event
        for event in database.events.values()
        if event.room == room and event.position is not None and not event.flags
    ]
