"""Who of a server was in a room at some of its events, and how visible the history was then.

What was in force is read off the intervals of the state and, where an event is off the main line, off what differs
there: never a whole state, and one statement for all the events.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from storage.state import ABSENT

# Names of users hold one colon in front of the server's name, which may hold another.
_OF_SERVER = "k.type = 'm.room.member' AND substr(k.state_key, strpos(k.state_key, ':') + 1) = %s"
# The rules let no membership into the state whose text PostgreSQL could not extract.
_MEMBERSHIP = "e.json::json->'content'->>'membership'"


@frozen
class Place:
    """Where an event's state lies: that after `base`, but for what differs. `base` is None where it is not known."""

    base: int | None
    differs: Mapping[int, int] = field(factory=dict)


@frozen
class Line:
    """The values of a key of the state by the positions since which they were in force, oldest first."""

    since: Sequence[int]
    nids: Sequence[int]

    def at(self, position: int) -> int:
        index = bisect_right(self.since, position)
        return self.nids[index - 1] if index else ABSENT


def places_of(cur: Cursor, nids: Collection[int]) -> dict[int, Place]:
    """Where the state before each event lies."""
    cur.execute(
        "SELECT e.event_nid, coalesce(s.base, e.position - 1), s.state_key_nids, s.event_nids FROM events e"
        " LEFT JOIN event_state s USING (event_nid) WHERE e.event_nid = ANY(%s)",
        (list(nids),),
    )
    return {
        nid: Place(None if base is None or base < 0 else base, dict(zip(keys or (), values or (), strict=True)))
        for nid, base, keys, values in cur
    }


def visibility_events(cur: Cursor, room_nid: int, places: Mapping[int, Place]) -> dict[int, int]:
    """The m.room.history_visibility event in force before each event, or ABSENT.

    Where the state is not known it is the first that is known of the room.
    """
    cur.execute(
        "SELECT s.since, s.event_nid, s.state_key_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = %s AND k.type = 'm.room.history_visibility' AND k.state_key = '' ORDER BY s.since",
        (room_nid,),
    )
    rows = cur.fetchall()
    if not rows:
        return dict.fromkeys(places, ABSENT)
    line, key = Line([row[0] for row in rows], [row[1] for row in rows]), rows[0][2]
    first = next((nid for nid in line.nids if nid != ABSENT), ABSENT)
    return {
        nid: place.differs.get(key, first if place.base is None else line.at(place.base))
        for nid, place in places.items()
    }


def memberships_of(cur: Cursor, room_nid: int, server: str, places: Mapping[int, Place]) -> dict[int, frozenset[str]]:
    """Which memberships the server's users had before each event; none where the state is not known."""
    cur.execute(
        f"SELECT s.since, s.until, s.state_key_nid, {_MEMBERSHIP} FROM room_state s"
        " JOIN state_keys k USING (state_key_nid) JOIN events e USING (event_nid)"
        f" WHERE s.room_nid = %s AND {_OF_SERVER}",
        (room_nid, server),
    )
    intervals = cur.fetchall()
    keys = _keys_of(cur, server, {key for place in places.values() for key in place.differs})
    values = _memberships(cur, {n for p in places.values() for key, n in p.differs.items() if key in keys})
    found = {}
    for nid, place in places.items():
        own = {key: value for key, value in place.differs.items() if key in keys}
        then = {values[value] for value in own.values() if value in values}
        if place.base is not None:
            then |= _at(intervals, place.base, own)
        found[nid] = frozenset(then)
    return found


def _at(intervals: Iterable[tuple[int, int | None, int, str]], base: int, but: Collection[int]) -> set[str]:
    return {
        membership
        for since, until, key, membership in intervals
        if since <= base and (until is None or until > base) and key not in but
    }


def _keys_of(cur: Cursor, server: str, key_nids: Collection[int]) -> set[int]:
    if not key_nids:
        return set()
    cur.execute(
        f"SELECT k.state_key_nid FROM state_keys k WHERE k.state_key_nid = ANY(%s) AND {_OF_SERVER}",
        (list(key_nids), server),
    )
    return {nid for (nid,) in cur}


def _memberships(cur: Cursor, nids: Collection[int]) -> dict[int, str]:
    if not nids:
        return {}
    cur.execute(f"SELECT e.event_nid, {_MEMBERSHIP} FROM events e WHERE e.event_nid = ANY(%s)", (list(nids),))
    return dict(cur.fetchall())
