"""The head of the stream in memory: the newest entries, which sync, bridges and caches read without a query.

Positions have no gaps, so an entry's place follows from its position. Entries come from this process's committer,
or from the database when another process has committed; they are told strictly in the order of positions.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import orjson
from psycopg2.extensions import cursor as Cursor

from storage.change import Entry, Kind
from storage.events import StoredEvent, events_between

# So much history is served from memory; older tokens read the database.
MAX_ENTRIES = 100_000
# Rows of `stream` are kept for so many positions: a process that is further behind cannot catch up any more.
KEEP = 10 * MAX_ENTRIES
# Positions read at once when catching up with other processes.
MAX_READ = 2_000

Reader = Callable[[list[Entry]], None]
CatchUp = Callable[[], None]
K = TypeVar("K")


class Stream:
    """`position` is the newest that has been told. Entries in (floor, position] are in memory."""

    def __init__(self, position: int, *, catch_up: CatchUp, max_entries: int = MAX_ENTRIES) -> None:
        self.position = position
        self.floor = position
        self._catch_up = catch_up
        self._max = max_entries
        self._entries: deque[Entry] = deque()
        self._by_room: dict[int, deque[Entry]] = {}
        self._by_user: dict[str, deque[Entry]] = {}
        self._ahead: dict[int, list[Entry]] = {}
        self._readers: list[Reader] = []

    def read_by(self, reader: Reader) -> None:
        """From now on `reader` is called with all new entries, in order. Those added first hear first."""
        self._readers.append(reader)

    def publish(self, entries: list[Entry]) -> None:
        """Entries of one commit. If another process's come before them, they wait until those are read."""
        if entries[0].position > self.position + 1:
            self._ahead[entries[0].position] = entries
            self._catch_up()
            return
        fresh = [entry for entry in entries if entry.position > self.position]
        if self._ahead:
            # Read from the database after all, but this process's own objects are there and the ones to tell.
            ours = {entry.position: entry for waiting in self._ahead.values() for entry in waiting}
            fresh = [ours.get(entry.position, entry) for entry in fresh]
        self._tell(fresh)
        while following := self._ahead.pop(self.position + 1, None):
            self._tell(following)
        self._ahead = {first: waiting for first, waiting in self._ahead.items() if first > self.position}

    def newest_in_room(self, room_nid: int) -> int:
        """The position of the newest entry of a room in memory; else the floor."""
        entries = self._by_room.get(room_nid)
        return entries[-1].position if entries else self.floor

    def newest_first(self, room_nid: int) -> Iterator[Entry]:
        """The entries of a room in memory. Not to be kept over an await."""
        return reversed(self._by_room.get(room_nid, ()))

    def room_entries(self, room_nid: int, since: int, upto: int) -> list[Entry]:
        """The entries of a room in (since, upto]. Only for since >= floor."""
        return _within(self._by_room.get(room_nid), since, upto)

    def user_entries(self, user_id: str, since: int, upto: int) -> list[Entry]:
        """The entries that name a user in (since, upto]. Only for since >= floor."""
        return _within(self._by_user.get(user_id), since, upto)

    def entries(self, since: int, upto: int) -> list[Entry]:
        """All entries in (since, upto]. Only for since >= floor."""
        if upto <= since:
            return []
        first, last = since - self.floor, upto - self.floor
        if len(self._entries) - first < first:
            tail = [self._entries[-1 - index] for index in range(len(self._entries) - first)]
            return tail[::-1][: last - first]
        return [self._entries[index] for index in range(first, min(last, len(self._entries)))]

    def _tell(self, entries: list[Entry]) -> None:
        if not entries:
            return
        for entry in entries:
            self._entries.append(entry)
            if entry.room_nid is not None:
                self._by_room.setdefault(entry.room_nid, deque()).append(entry)
            if entry.user_id is not None:
                self._by_user.setdefault(entry.user_id, deque()).append(entry)
        self.position = entries[-1].position
        while len(self._entries) > self._max:
            self._drop_oldest()
        for reader in self._readers:
            reader(entries)

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self.floor = entry.position
        if entry.room_nid is not None:
            _drop(self._by_room, entry.room_nid)
        if entry.user_id is not None:
            _drop(self._by_user, entry.user_id)


def _drop(entries_by: dict[K, deque[Entry]], key: K) -> None:
    entries = entries_by[key]
    entries.popleft()
    if not entries:
        del entries_by[key]


def _within(entries: "deque[Entry] | None", since: int, upto: int) -> list[Entry]:
    if not entries or entries[-1].position <= since:
        return []
    if entries[0].position > since and entries[-1].position <= upto:
        return list(entries)
    # From the end: readers nearly always want the newest few.
    found: list[Entry] = []
    for entry in reversed(entries):
        if entry.position <= since:
            break
        if entry.position <= upto:
            found.append(entry)
    return found[::-1]


def head_position(cur: Cursor) -> int:
    """The last position given out and committed."""
    cur.execute("SELECT position FROM stream_head")
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def entry_body(entry: Entry) -> str:
    """The body of an entry that is no event, as the `stream` table keeps it."""
    return orjson.dumps(entry.body).decode()


def event_entry(stored: StoredEvent) -> Entry:
    """What tells an event that is committed: of a membership, it names the member."""
    event = stored.event
    user_id = event.state_key if event.type == "m.room.member" else None
    return Entry(Kind.EVENT, stored.room_nid, user_id, stored, stored.position)


class TooFarBehind(Exception):
    """Of what this process has not read yet, some may have been deleted: it has to start again."""


def read_entries(cur: Cursor, after: int) -> list[Entry]:
    """What was committed after a position, one entry for each position, at most MAX_READ.

    Event entries carry StoredEvents. What was deleted since (a purge) is told as GONE. Raises: TooFarBehind.
    """
    head = head_position(cur)
    if head - after > KEEP:
        raise TooFarBehind(f"{head - after} positions behind; only {KEEP} are kept")
    upto = min(head, after + MAX_READ)
    entries = {stored.position: event_entry(stored) for stored in events_between(cur, after, upto, MAX_READ)}
    cur.execute(
        "SELECT position, kind, room_nid, user_id, body FROM stream WHERE position > %s AND position <= %s",
        (after, upto),
    )
    for position, kind, room_nid, user_id, body in cur:
        entries[position] = Entry(Kind(kind), room_nid, user_id, orjson.loads(body), position)
    return [entries.get(position) or Entry(Kind.GONE, position=position) for position in range(after + 1, upto + 1)]


def trim(cur: Cursor, keep: int = KEEP, limit: int = 5_000) -> int:
    """Deletes rows of `stream` that no process tails any more, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM stream WHERE position IN (SELECT position FROM stream"
        " WHERE position <= (SELECT position FROM stream_head) - %s ORDER BY position LIMIT %s)",
        (keep, limit),
    )
    return cur.rowcount
