"""The directory: which rooms this server, or a bridge of its, shows to those who look for one."""

from collections.abc import Collection, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.events import Event, Json, StateKey
from matrix.ids import RoomId
from storage.change import Custom, Delete, Insert
from storage.events import find_events

_KEY = {"room_nid": "int", "appservice_id": "text", "network_id": "text"}
PUBLISH = Insert("published_rooms", _KEY, key=tuple(_KEY), on_conflict="ignore")
WITHDRAW = Delete("published_rooms", _KEY)
# Where a room was replaced by another: (old, new).
MOVE_ALL = Custom(
    {"old": "int", "new": "int"}, "UPDATE published_rooms p SET room_nid = v.new FROM {v} WHERE p.room_nid = v.old"
)


@frozen
class RoomList:
    """Which of the lists: the server's own, or an application service's for one of its networks."""

    appservice_id: str = ""
    network_id: str = ""


@frozen
class RoomFacts:
    """What can be told of a room without its members and its history. `contents` are of current state, by key."""

    room_nid: int
    room_id: RoomId
    version: str
    joined_members: int
    contents: dict[StateKey, Json]


# What a directory tells, and decides by.
FACTS: tuple[StateKey, ...] = tuple(
    (name, "")
    for name in (
        "m.room.create",
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.encryption",
    )
)


def is_published(cur: Cursor, room_nid: int) -> bool:
    """In the server's own list?"""
    cur.execute(
        "SELECT 1 FROM published_rooms WHERE appservice_id = '' AND network_id = '' AND room_nid = %s", (room_nid,)
    )
    return cur.fetchone() is not None


def published_among(cur: Cursor, room_ids: Sequence[str]) -> set[str]:
    """Those of the rooms that are in the server's own list."""
    cur.execute(
        "SELECT r.room_id FROM published_rooms p JOIN rooms r USING (room_nid)"
        " WHERE r.room_id = ANY(%s) AND p.appservice_id = '' AND p.network_id = ''",
        (list(room_ids),),
    )
    return {room_id for (room_id,) in cur}


def published(cur: Cursor) -> list[tuple[RoomList, int]]:
    """All lists' rooms: (list, room number)."""
    cur.execute("SELECT appservice_id, network_id, room_nid FROM published_rooms")
    return [(RoomList(appservice_id, network_id), room_nid) for appservice_id, network_id, room_nid in cur]


def find_facts(cur: Cursor, room_nids: Sequence[int], *, counted: bool = True) -> dict[int, RoomFacts]:
    """The facts of those rooms that exist, with four statements for all.

    `counted=False` leaves `joined_members` 0: counting the members of large rooms is most of the work.
    """
    rooms = list(room_nids)
    contents = _contents(cur, rooms, FACTS)
    joined = count_joined(cur, rooms) if counted else {}
    cur.execute("SELECT room_nid, room_id, version FROM rooms WHERE room_nid = ANY(%s)", (rooms,))
    return {
        nid: RoomFacts(nid, RoomId(room_id), version, joined.get(nid, 0), contents.get(nid, {}))
        for nid, room_id, version in cur
    }


def count_joined(cur: Cursor, room_nids: list[int]) -> dict[int, int]:
    """How many are joined, of rooms that anybody is joined to."""
    cur.execute(
        "SELECT room_nid, count(*) FROM memberships WHERE room_nid = ANY(%s) AND membership = 'join' GROUP BY room_nid",
        (room_nids,),
    )
    return dict(cur.fetchall())


def find_space_children(cur: Cursor, room_nids: Sequence[int]) -> dict[int, list[Event]]:
    """The m.space.child events in the current state of several rooms, by room."""
    cur.execute(
        "SELECT s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " WHERE s.room_nid = ANY(%s) AND s.until IS NULL AND k.type = 'm.space.child'",
        (list(room_nids),),
    )
    children: dict[int, list[Event]] = {}
    for stored in find_events(cur, [nid for (nid,) in cur.fetchall()]).values():
        children.setdefault(stored.room_nid, []).append(stored.event)
    return children


def _contents(cur: Cursor, room_nids: list[int], keys: Collection[StateKey]) -> dict[int, dict[StateKey, Json]]:
    cur.execute(
        "SELECT s.room_nid, k.type, k.state_key, s.event_nid FROM room_state s JOIN state_keys k USING (state_key_nid)"
        " JOIN unnest(%s::text[], %s::text[]) AS v (type, state_key) USING (type, state_key)"
        " WHERE s.room_nid = ANY(%s) AND s.until IS NULL",
        ([key[0] for key in keys], [key[1] for key in keys], room_nids),
    )
    rows = cur.fetchall()
    events = find_events(cur, [nid for _, _, _, nid in rows])
    found: dict[int, dict[StateKey, Json]] = {}
    for room_nid, type_, state_key, nid in rows:
        if nid in events:
            found.setdefault(room_nid, {})[(type_, state_key)] = events[nid].event.content
    return found
