"""A change: what a service hands to the committer, finished and validated.

It is rows for statements (see statements.py), and entries for the stream. The committer runs each statement once for
all rows that have gathered for it:

    PUT_TAG = Insert("tags", {"user_id": "text", "room_id": "text", "tag": "text"}, key=("user_id", "room_id", "tag"))

    change = Change()
    at = change.announce(Entry(kind=Kind.ACCOUNT_DATA, user_id=alice))
    change.put(PUT_TAG, (alice, room_id, "m.favourite"))
    await commit(change)
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Self

from attrs import define, field, frozen
from psycopg2.extensions import cursor as Cursor

from storage.statements import Custom, Delete, Insert, Row, Statement, int_array


class Kind(StrEnum):
    """What an entry of the stream tells. Its readers know the shape of `body`."""

    EVENT = "event"  # room_nid; body: the StoredEvent. Read back from the events table, not from `stream`.
    RECEIPT = "receipt"  # room_nid, user_id
    TYPING = "typing"  # room_nid
    PRESENCE = "presence"  # user_id
    ACCOUNT_DATA = "account_data"  # user_id, room_nid if of a room
    TO_DEVICE = "to_device"  # user_id
    DEVICE_LIST = "device_list"  # user_id: devices or keys changed
    KEY_COUNTS = "key_counts"  # user_id: one-time or fallback keys were added or used
    PROFILE = "profile"  # user_id
    PUSH_RULES = "push_rules"  # user_id
    ROOM = "room"  # room_nid: something of a room beside its events (forgotten, published, purged)
    GONE = "gone"  # nothing: what had this position was deleted before this process read it
    FEDERATION = "federation"  # what only other servers hear: see federation_queue.py
    CACHE = "cache"  # what no client hears, only the caches of other processes (a session ended, a user deactivated)


NEVER = -1


@define(eq=False, slots=True)
class Entry:
    """One thing that the stream tells. `position` is 0 until it is committed, NEVER if it was refused."""

    kind: Kind
    room_nid: int | None = None
    user_id: str | None = None
    body: Any = field(default=None, repr=False)
    position: int = 0


@frozen
class At:
    """Stands in a row for the position that an entry gets."""

    entry: Entry


class AlreadyThere(Exception):
    """A row that must be new has a key that is taken."""


class HeadMoved(Exception):
    """Another change to the room came first: catch up and decide again."""


class NotNew(Exception):
    """An event that was taken to be nowhere is there, or others name it: look, and decide again."""


@define(eq=False)
class RoomHead:
    """What a change to a room was decided on: a position, or a change of this process that is not committed yet.

    `extremities`: the numbers of those that the room has after the change.
    """

    room_nid: int
    after: "int | Change"
    extremities: Sequence[int] | None = None


Then = Callable[[Cursor], Any]


@define(eq=False)
class Change:
    """Rows and stream entries that become durable together, or not at all."""

    entries: list[Entry] = field(factory=list)
    rows: list[tuple[Statement, Row]] = field(factory=list)
    heads: list[RoomHead] = field(factory=list)
    new_ids: list[str] = field(factory=list)
    then: Then | None = None
    result: Any = None

    def announce(self, entry: Entry) -> At:
        """The stream will tell it; the value stands in rows for its position."""
        self.entries.append(entry)
        return At(entry)

    def put(self, statement: Statement, row: Row) -> Self:
        self.rows.append((statement, row))
        return self

    def on_head(self, room_nid: int, after: "int | Change", extremities: Sequence[int] | None = None) -> Self:
        """Refuse the change (HeadMoved) unless this is still the room's head. The last event entry is the new one.

        A change without entries moves no head: it only waits until what it was decided on is committed.
        """
        self.heads.append(RoomHead(room_nid, after, extremities))
        return self

    def only_if_new(self, event_id: str) -> Self:
        """Refuse the change (NotNew) if the event is there, or is named: by relations, redactions, or what follows it.

        What comes in the usual way is new: so nobody has to look before. The id has no NUL.
        """
        self.new_ids.append(event_id)
        return self

    def run(self, function: Then) -> Self:
        """For what rows cannot say: called in the transaction after the rows are there; `commit` gives its value.

        May be called more than once (a batch that failed is tried again): nothing but its cursor inside.
        """
        self.then = function
        return self

    def last_in(self, room_nid: int) -> Entry | None:
        """The entry of its last event in the room."""
        for entry in reversed(self.entries):
            if entry.kind is Kind.EVENT and entry.room_nid == room_nid:
                return entry
        return None

    def position_in(self, room_nid: int) -> int:
        """The position of its last event in the room, once committed; 0 if it has none."""
        entry = self.last_in(room_nid)
        return 0 if entry is None else entry.position


__all__ = [
    "NEVER",
    "AlreadyThere",
    "At",
    "Change",
    "Custom",
    "Delete",
    "Entry",
    "HeadMoved",
    "Insert",
    "Kind",
    "NotNew",
    "RoomHead",
    "Row",
    "Statement",
    "int_array",
]
