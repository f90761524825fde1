"""The states after events anywhere in a room's graph, as what differs from the room's state at its head.

What is read is proportional to what differs, not to the state: of each event its delta, if it has one, and of each
position that deltas stand on what has changed between it and the head.
"""

from collections.abc import Collection, Mapping
from typing import Any

from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from storage.state import ABSENT, named

Changes = Mapping[StateKey, int]  # ABSENT: the key is not there
REJECTED = 1


@frozen
class Standing:
    """What an event's state stands on: the room's state after position `base`, but for `before` it."""

    nid: int
    base: int
    before: Changes
    after: Changes


@frozen
class Graph:
    """`standings` by event number, of those events whose state is known.

    `bases`: what the state after each base has in place of the head's.
    """

    standings: Mapping[int, Standing] = field(factory=dict)
    bases: Mapping[int, Changes] = field(factory=dict)

    def before(self, nid: int) -> dict[StateKey, int]:
        """What the state before the event has in place of the head's."""
        standing = self.standings[nid]
        return {**self.bases[standing.base], **standing.before}

    def after(self, nid: int) -> dict[StateKey, int]:
        standing = self.standings[nid]
        return {**self.bases[standing.base], **standing.after}


def load_graph(cur: Cursor, room_nid: int, event_nids: Collection[int], head: int) -> Graph:
    """Where these events stand, against the room's state after position `head`."""
    cur.execute(
        "SELECT e.event_nid, e.position, e.flags, e.state_key_nid, s.base, s.state_key_nids, s.event_nids FROM events e"
        " LEFT JOIN event_state s USING (event_nid) WHERE e.event_nid = ANY(%s) AND e.room_nid = %s",
        (list(event_nids), room_nid),
    )
    rows = [row for row in cur if row[4] is not None or (row[1] or 0) > 0]
    bases = _bases(cur, room_nid, {_base(row) for row in rows}, head)
    key_nids = {key for changes in bases.values() for key in changes}
    key_nids.update(key for row in rows for key in [*(row[5] or ()), row[3]] if key is not None)
    names = named(cur, key_nids) if key_nids else {}
    by_name = {base: {names[key]: nid for key, nid in changes.items()} for base, changes in bases.items()}
    return Graph({row[0]: _standing(row, names) for row in rows}, by_name)


def _base(row: tuple[Any, ...]) -> int:
    return int(row[1] - 1 if row[4] is None else row[4])


def _standing(row: tuple[Any, ...], names: Mapping[int, StateKey]) -> Standing:
    nid, _, flags, key_nid, _, key_nids, nids = row
    before = {names[key]: other for key, other in zip(key_nids or (), nids or (), strict=True)}
    has_effect = key_nid is not None and not flags & REJECTED
    return Standing(nid, _base(row), before, {**before, names[key_nid]: nid} if has_effect else before)


def _bases(cur: Cursor, room_nid: int, positions: set[int], head: int) -> dict[int, dict[int, int]]:
    """By position: the keys that have changed between it and the head, and what they were at it."""
    found: dict[int, dict[int, int]] = {position: {} for position in positions}
    if others := [position for position in positions if position != head]:
        cur.execute(
            "SELECT v.at, k.state_key_nid, coalesce(s.event_nid, 0) FROM unnest(%s::bigint[]) AS v (at)"
            " CROSS JOIN LATERAL (SELECT DISTINCT state_key_nid FROM room_state WHERE room_nid = %s"
            " AND since > least(v.at, %s) AND since <= greatest(v.at, %s)) k"
            " LEFT JOIN room_state s ON s.room_nid = %s AND s.state_key_nid = k.state_key_nid AND s.since <= v.at"
            " AND (s.until IS NULL OR s.until > v.at)",
            (others, room_nid, head, head, room_nid),
        )
        for position, key, nid in cur:
            found[position][key] = nid
    return found


def apply(base: Mapping[StateKey, int], changes: Changes, key: StateKey) -> int:
    """What a key is in the state that is `base` but for the changes; ABSENT if it is not there."""
    return changes[key] if key in changes else base.get(key, ABSENT)
