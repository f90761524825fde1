"""What application services read of the stream: each entry without its content, which is loaded if it concerns them.

Thus a service that is far behind reads two thousand positions in a few milliseconds. Of entries beside events only
those are there whose rows of `stream` are kept still (stream.KEEP).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Self

import orjson
from attrs import define, frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import ServerName
from storage.change import Change, Entry, Kind
from storage.events import DUMMY, StoredEvent

MEMBER = "m.room.member"
# The kinds that can concern a service, beside events.
_KINDS = (
    Kind.RECEIPT,
    Kind.TYPING,
    Kind.PRESENCE,
    Kind.TO_DEVICE,
    Kind.DEVICE_LIST,
    Kind.KEY_COUNTS,
    Kind.ROOM,
    Kind.CACHE,
)
_KIND_NAMES = frozenset(_KINDS)
_ALIASES_OF = "aliases_of"


@frozen
class AliasChange:
    """A room has one alias more or less, or all that another had: at most one of the three."""

    room_nid: int
    added: str | None = None
    removed: str | None = None
    moved_from: int | None = None

    def inverse(self) -> Self:
        """What leads back. A room that is given another's aliases is made with that, and had none."""
        room_nid, moved_from = self.room_nid, self.moved_from
        if moved_from is not None:
            room_nid, moved_from = moved_from, room_nid
        return type(self)(room_nid, added=self.removed, removed=self.added, moved_from=moved_from)


@define(eq=False, slots=True)
class Seen:
    """An entry of the stream. `user_id`: whom it is about; of a member event, whose membership.

    `membership`: of a member event that became the room's state. `body`: of what is no event.
    """

    position: int
    kind: Kind
    room_nid: int | None = None
    user_id: str | None = None
    nid: int = 0
    sender: str = ""
    membership: str | None = None
    body: Any = None

    @property
    def aliases(self) -> AliasChange | None:
        """How a room's aliases have changed, if that is what it tells."""
        return _alias_change(self.body) if self.kind is Kind.CACHE else None


def announce_aliases(
    change: Change,
    room_nid: int,
    *,
    added: str | None = None,
    removed: str | None = None,
    moved_from: int | None = None,
) -> None:
    """For a change of a room's aliases: services may be interested in the room by them.

    Before what else the change tells: the first events of a room are of interest by its alias too.
    """
    told = {_ALIASES_OF: room_nid, "added": added, "removed": removed, "moved_from": moved_from}
    change.entries.insert(0, Entry(Kind.CACHE, body={key: value for key, value in told.items() if value is not None}))


def _alias_change(body: Any) -> AliasChange | None:
    if not isinstance(body, dict) or _ALIASES_OF not in body:
        return None
    return AliasChange(body[_ALIASES_OF], body.get("added"), body.get("removed"), body.get("moved_from"))


def seen(entries: Iterable[Entry]) -> list[Seen]:
    """Those of the entries that can concern a service at all."""
    found = []
    for entry in entries:
        if entry.kind is Kind.EVENT:
            if (event := _seen_event(entry.body, entry.position)) is not None:
                found.append(event)
        elif entry.kind in _KIND_NAMES:
            found.append(Seen(entry.position, entry.kind, entry.room_nid, entry.user_id, body=entry.body))
    return found


def _seen_event(stored: StoredEvent, position: int) -> Seen | None:
    # Not soft-failed ones, which Synapse sends marked: most bridges do not know the mark, and would pass on what a user
    # says who has been banned.
    if not stored.visible:
        return None
    event = stored.event
    told = Seen(position, Kind.EVENT, stored.room_nid, None, stored.nid, event.sender)
    if event.type == MEMBER:
        told.user_id = event.state_key
        told.membership = event.membership if stored.became_state else None
    return told


def read(cur: Cursor, after: int, upto: int) -> list[Seen]:
    """The entries in (after, upto], in order. Two statements."""
    cur.execute(
        "SELECT e.position, e.room_nid, e.event_nid, e.sender, k.state_key, e.replaces,"
        " CASE WHEN k.state_key IS NOT NULL THEN e.json END"
        " FROM events e LEFT JOIN state_keys k ON k.state_key_nid = e.state_key_nid AND k.type = %s"
        " WHERE e.position > %s AND e.position <= %s AND e.flags = 0 AND e.type <> %s",
        (MEMBER, after, upto, DUMMY),
    )
    found = [_read_event(row) for row in cur]
    cur.execute(
        "SELECT position, kind, room_nid, user_id, body FROM stream"
        " WHERE position > %s AND position <= %s AND kind = ANY(%s)",
        (after, upto, [str(kind) for kind in _KINDS]),
    )
    for position, kind, room_nid, user_id, body in cur:
        found.append(Seen(position, Kind(kind), room_nid, user_id, body=orjson.loads(body)))
    found.sort(key=lambda one: one.position)
    return found


def _read_event(row: Sequence[Any]) -> Seen:
    position, room_nid, nid, sender, state_key, replaces, json = row
    told = Seen(position, Kind.EVENT, room_nid, state_key, nid, sender)
    if json is not None and replaces != 0:
        told.membership = _membership(json)
    return told


def _membership(json: str) -> str | None:
    # Not by PostgreSQL's functions: they fail on a text with a NUL anywhere in the event.
    membership = orjson.loads(json)["content"].get("membership")
    return membership if isinstance(membership, str) else None


def joined_at(
    cur: Cursor, server: ServerName, position: int, owns: Callable[[str], bool], room_nid: int | None = None
) -> dict[int, set[str]]:
    """The users of ours that `owns` says yes to, by the rooms that they were joined to after the position.

    In all rooms, or in one. Two statements.
    """
    where, values = ("", ()) if room_nid is None else (" AND room_nid = %s", (room_nid,))
    cur.execute(
        "SELECT room_nid, user_id, membership = 'join', position <= %s FROM memberships"
        f" WHERE server_of(user_id) = %s{where}",
        (position, server, *values),
    )
    joined: dict[int, set[str]] = {}
    moved: list[tuple[int, str]] = []
    names: dict[str, str | None] = {}  # one object for each user, however many rooms they are in
    for room, user_id, is_joined, is_older in cur:
        if user_id not in names:
            names[user_id] = user_id if owns(user_id) else None
        if (name := names[user_id]) is None:
            continue
        if not is_older:
            moved.append((room, name))
        elif is_joined:
            joined.setdefault(room, set()).add(name)
    for room, user_id in _joined_then(cur, moved, position) if moved else ():
        joined.setdefault(room, set()).add(names[user_id] or user_id)
    return joined


def _joined_then(cur: Cursor, moved: Sequence[tuple[int, str]], position: int) -> list[tuple[int, str]]:
    """Those whose membership is newer than the position, if they were joined at it."""
    cur.execute(
        "SELECT s.room_nid, v.user_id, e.json FROM unnest(%s::int[], %s::text[]) AS v (room_nid, user_id)"
        " JOIN state_keys k ON k.type = %s AND k.state_key = v.user_id"
        " JOIN room_state s ON s.room_nid = v.room_nid AND s.state_key_nid = k.state_key_nid AND s.since <= %s"
        " AND (s.until IS NULL OR s.until > %s) JOIN events e ON e.event_nid = s.event_nid",
        ([room for room, _ in moved], [user_id for _, user_id in moved], MEMBER, position, position),
    )
    return [(room, user_id) for room, user_id, json in cur if _membership(json) == "join"]


def aliases(cur: Cursor) -> list[tuple[int, str]]:
    """(room, alias) of this server. One statement."""
    cur.execute("SELECT room_nid, alias FROM room_aliases")
    return [(room, alias) for room, alias in cur]


def alias_changes(cur: Cursor, after: int) -> list[AliasChange]:
    """What has changed of aliases after a position, the newest first. One statement."""
    cur.execute(
        "SELECT body FROM stream WHERE position > %s AND kind = %s ORDER BY position DESC", (after, str(Kind.CACHE))
    )
    changes = (_alias_change(orjson.loads(body)) for (body,) in cur)
    return [change for change in changes if change is not None]


def messages(cur: Cursor, keys: Collection[tuple[str, str, int]]) -> dict[tuple[str, str, int], str]:
    """To-device messages by user, device and position, as JSON, as far as they are still there. One statement."""
    columns = list(zip(*keys, strict=True))
    cur.execute(
        "SELECT user_id, device_id, position, json FROM to_device"
        " JOIN unnest(%s::text[], %s::text[], %s::bigint[]) AS v (user_id, device_id, position)"
        " USING (user_id, device_id, position)",
        [list(column) for column in columns],
    )
    return {(user_id, device_id, position): json for user_id, device_id, position, json in cur}


def users_with_devices(cur: Cursor, server: ServerName) -> list[str]:
    """Users of ours that have any device. One statement."""
    cur.execute("SELECT DISTINCT user_id FROM devices WHERE server_of(user_id) = %s", (server,))
    return [user_id for (user_id,) in cur]


KeyCounts = dict[str, dict[str, dict[str, int]]]
FallbackTypes = dict[str, dict[str, list[str]]]


def key_counts(cur: Cursor, user_ids: Collection[str]) -> tuple[KeyCounts, FallbackTypes]:
    """One-time keys left, by user, device and algorithm; and algorithms of fallback keys that are unused.

    Devices without any are there with nothing. One statement.
    """
    cur.execute(
        "SELECT user_id, device_id, algorithm, count(*) FROM devices"
        " LEFT JOIN one_time_keys USING (user_id, device_id) WHERE user_id = ANY(%(users)s) GROUP BY 1, 2, 3"
        " UNION ALL SELECT user_id, device_id, algorithm, NULL FROM fallback_keys"
        " WHERE user_id = ANY(%(users)s) AND NOT used",
        {"users": list(user_ids)},
    )
    counts: KeyCounts = {}
    unused: FallbackTypes = {}
    for user_id, device_id, algorithm, count in cur:
        by_algorithm = counts.setdefault(user_id, {}).setdefault(device_id, {})
        types = unused.setdefault(user_id, {}).setdefault(device_id, [])
        if count is None:
            types.append(algorithm)
        elif algorithm is not None:
            by_algorithm[algorithm] = count
    return counts, unused


def trim_messages(cur: Cursor, user_ids: Collection[str], upto: int, limit: int) -> int:
    """Deletes the users' messages up to the position, at most `limit`; gives how many. One statement."""
    cur.execute(
        "DELETE FROM to_device WHERE ctid IN (SELECT ctid FROM to_device WHERE user_id = ANY(%s) AND position <= %s"
        " LIMIT %s)",
        (list(user_ids), upto, limit),
    )
    return cur.rowcount
