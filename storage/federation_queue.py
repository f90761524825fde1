"""What other servers still have to hear: how far each was told, and EDUs that must arrive.

A destination that is up to date has no row. `federation_shards` says how far the stream has been dealt with for all
of a shard's destinations but those in `federation_behind`, each of which has a position of its own. What lies between
a position and the head is found in the tables of events, so that an event costs no row for each destination.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import ServerName
from storage.change import At, Change, Custom, Delete, Entry, Insert, Kind

Json = dict[str, Any]

_ADD_EDU = Insert(
    "federation_edus",
    {"destination": "text", "key": "text", "position": "bigint", "edu_type": "text", "content": "text"},
    key=("destination", "key"),
    on_conflict="update",
)
_PUT_BROADCAST = Insert(
    "federation_broadcasts",
    {"user_id": "text", "key": "text", "position": "bigint", "edu_type": "text", "content": "text"},
    key=("user_id", "key"),
    on_conflict="update",
)
_PASS_ON = Insert(
    "federation_passed_on",
    {"room_nid": "int", "position": "bigint"},
    key=("room_nid", "position"),
    on_conflict="ignore",
)
# Not if a newer one has taken the place of what was sent.
_DELETE_EDUS = Delete("federation_edus", {"destination": "text", "key": "text", "position": "bigint"})
_PUT_SHARD = Insert("federation_shards", {"shard": "smallint", "position": "bigint"}, ("shard",), "update")
_PUT_BEHIND = Insert(
    "federation_behind",
    {"destination": "text", "shard": "smallint", "position": "bigint"},
    key=("destination",),
    on_conflict="update",
)
_DELETE_BEHIND = Delete("federation_behind", {"destination": "text"})
_ADD_ASIDE = Insert(
    "federation_aside",
    {"destination": "text", "position": "bigint"},
    key=("destination", "position"),
    on_conflict="ignore",
)
_DELETE_ASIDE = Custom(
    {"destination": "text", "position": "bigint"},
    "DELETE FROM federation_aside t USING {v} WHERE t.destination = v.destination AND t.position <= v.position",
)


def queue_edu(change: Change, destination: ServerName, edu_type: str, content: Json, key: str | None = None) -> None:
    """The server will be told, however long it is away: the EDU becomes durable with the change.

    Of those with one key (unique of itself, if none is given) that still wait for a server only the last is sent.
    """
    entry = Entry(Kind.FEDERATION, body={"destination": str(destination)})
    row = (destination, key or secrets.token_hex(8), change.announce(entry), edu_type, orjson.dumps(content).decode())
    change.put(_ADD_EDU, row)


def broadcast_edu(change: Change, user_id: str, edu_type: str, content: Json, key: str) -> At:
    """All servers that share a room with the user will be told; those that are away hear the last of each key later.

    Costs one row, however many servers there are.
    """
    body = {"user_id": user_id, "edu_type": edu_type, "content": content, "key": key}
    at = change.announce(Entry(Kind.FEDERATION, body=body))
    change.put(_PUT_BROADCAST, (user_id, key, at, edu_type, orjson.dumps(content).decode()))
    return at


def pass_on(change: Change, room_nid: int, event_nid: int, at: At) -> None:
    """An event of another server's user that this server tells the others in the room: a join that it helped with.

    Or an invite to an address that it made in that user's name: of this the user's own server hears too.

    `at` is the event's own. Source: server-server API, "Joining Rooms": "must also send the event to other servers".
    """
    # Nothing moves in the room by this: no client need look at it.
    change.announce(Entry(Kind.FEDERATION, body={"pass_on": event_nid}))
    change.put(_PASS_ON, (room_nid, at))


@frozen
class QueuedEdu:
    key: str
    position: int
    edu_type: str
    content: Json = field(repr=False)


def find_edus(cur: Cursor, destination: str, limit: int) -> list[QueuedEdu]:
    """The oldest that wait for the destination."""
    cur.execute(
        "SELECT key, position, edu_type, content FROM federation_edus WHERE destination = %s"
        " ORDER BY position LIMIT %s",
        (destination, limit),
    )
    return [QueuedEdu(key, position, edu_type, orjson.loads(text)) for key, position, edu_type, text in cur]


def delete_edus(cur: Cursor, destination: str, edus: Sequence[QueuedEdu]) -> None:
    """They have arrived."""
    _DELETE_EDUS.execute(cur, [(destination, edu.key, edu.position) for edu in edus])


@frozen(kw_only=True)
class Progress:
    """What has become of the queues since the last time: one transaction."""

    position: int
    shards: Collection[int]
    behind: Mapping[str, tuple[int, int]]  # shard and position, by destination
    caught_up: Collection[str]
    aside: Sequence[tuple[str, int]] = ()


def save(cur: Cursor, progress: Progress) -> None:
    if progress.behind:
        _PUT_BEHIND.execute(cur, [(name, shard, at) for name, (shard, at) in sorted(progress.behind.items())])
        _DELETE_ASIDE.execute(cur, [(name, at) for name, (_, at) in sorted(progress.behind.items())])
    if progress.caught_up:
        _DELETE_BEHIND.execute(cur, [(name,) for name in sorted(progress.caught_up)])
        _DELETE_ASIDE.execute(cur, [(name, progress.position) for name in sorted(progress.caught_up)])
    if progress.aside:
        _ADD_ASIDE.execute(cur, progress.aside)
    if progress.shards:
        _PUT_SHARD.execute(cur, [(shard, progress.position) for shard in sorted(progress.shards)])


@frozen
class ShardsRow:
    """Positions by shard, and of the destinations in those shards that are behind."""

    positions: dict[int, int]
    behind: dict[ServerName, int]


def load(cur: Cursor, shards: Collection[int]) -> ShardsRow:
    """For a process that takes over the shards. One that nobody ever had begins at 0."""
    cur.execute("SELECT shard, position FROM federation_shards WHERE shard = ANY(%s)", (list(shards),))
    positions = dict.fromkeys(shards, 0) | dict(cur.fetchall())
    cur.execute("SELECT destination, position FROM federation_behind WHERE shard = ANY(%s)", (list(shards),))
    return ShardsRow(positions, {ServerName(name): position for name, position in cur})


def all_servers(cur: Cursor) -> list[ServerName]:
    """Every server that is in any room. One statement."""
    cur.execute("SELECT DISTINCT server FROM room_servers WHERE until IS NULL")
    return [ServerName(name) for (name,) in cur]


@frozen
class Waiting:
    """For the operator: a destination that is behind, the EDUs that wait for it, and since when it does not answer."""

    destination: ServerName
    position: int
    edus: int
    failing_since_ms: int | None
    retry_at_ms: int | None


def find_waiting(cur: Cursor, limit: int) -> list[Waiting]:
    """The destinations that are behind, the longest first. One statement."""
    cur.execute(
        "SELECT b.destination, b.position,"
        " (SELECT count(*) FROM federation_edus e WHERE e.destination = b.destination),"
        " d.failing_since_ms, d.retry_at_ms FROM federation_behind b"
        " LEFT JOIN destinations d ON d.server_name = b.destination ORDER BY b.position LIMIT %s",
        (limit,),
    )
    return [Waiting(ServerName(name), *rest) for name, *rest in cur]


def lowest_position(cur: Cursor) -> int:
    """What lies at or before it every destination has."""
    cur.execute(
        "SELECT least((SELECT min(position) FROM federation_behind), (SELECT min(position) FROM federation_shards))"
    )
    row = cur.fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def trim(cur: Cursor, limit: int = 5_000) -> int:
    """Forgets what was kept for destinations that are behind, and that all have by now."""
    lowest, deleted = lowest_position(cur), 0
    for table in ("federation_broadcasts", "federation_passed_on", "federation_aside"):
        cur.execute(
            f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE position <= %s LIMIT %s)",
            (lowest, limit),
        )
        deleted = max(deleted, cur.rowcount)
    return deleted
