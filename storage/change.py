"""A change: what a service hands to the committer, finished and validated.

It is rows for statements, and entries for the stream. Statements are values, declared once beside their topic's
queries; the committer runs each once for all rows that have gathered for it:

    PUT_TAG = Insert("tags", {"user_id": "text", "room_id": "text", "tag": "text"}, key=("user_id", "room_id", "tag"))

    change = Change()
    at = change.announce(Entry(kind=Kind.ACCOUNT_DATA, user_id=alice))
    change.put(PUT_TAG, (alice, room_id, "m.favourite"))
    await commit(change)
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, Self

from attrs import define, field, frozen
from psycopg2.extensions import cursor as Cursor


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


Row = Sequence[Any]


@frozen(eq=False)
class Insert:
    """INSERT of many rows. With `key`: what to do when a row with that key is there.

    "fail" is for rows that must be new: the change is then refused alone (AlreadyThere).
    "update" keeps the last of several rows with one key; `update` names the columns, all but the key by default.
    """

    table: str
    columns: Mapping[str, str]  # name -> SQL type
    key: tuple[str, ...] = ()
    on_conflict: Literal["fail", "ignore", "update"] = "fail"
    update: tuple[str, ...] = ()
    sql: str = field(init=False)
    key_indexes: tuple[int, ...] | None = field(init=False)
    one_by_one: bool = field(init=False, default=False)
    writes: frozenset[str] = field(init=False)

    @property
    def touches(self) -> frozenset[str]:
        return self.writes

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "writes", frozenset((self.table,)))
        names, types = list(self.columns), list(self.columns.values())
        sql = f"INSERT INTO {self.table} ({', '.join(names)}) SELECT {_elements(names, types)}"
        sql += f" FROM unnest({_arrays(types)}) AS v ({', '.join(names)})"
        if self.on_conflict != "fail":
            sql += f" ON CONFLICT ({', '.join(self.key)}) DO "
            changed = self.update or tuple(name for name in names if name not in self.key)
            assigned = ", ".join(f"{name} = excluded.{name}" for name in changed)
            sql += f"UPDATE SET {assigned}" if self.on_conflict == "update" else "NOTHING"
        object.__setattr__(self, "sql", sql)
        indexes = tuple(names.index(name) for name in self.key) if self.on_conflict == "update" else None
        object.__setattr__(self, "key_indexes", indexes)


@frozen(eq=False)
class Delete:
    """DELETE of the rows with these keys."""

    table: str
    key: Mapping[str, str]
    sql: str = field(init=False)
    key_indexes: None = field(init=False, default=None)
    one_by_one: bool = field(init=False, default=False)
    writes: frozenset[str] = field(init=False)

    @property
    def columns(self) -> Mapping[str, str]:
        return self.key

    @property
    def touches(self) -> frozenset[str]:
        return self.writes

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "writes", frozenset((self.table,)))
        names, types = list(self.key), list(self.key.values())
        same = " AND ".join(f"t.{name} = v.{name}" for name in names)
        sql = f"DELETE FROM {self.table} t USING unnest({_arrays(types)}) AS v ({', '.join(names)}) WHERE {same}"
        object.__setattr__(self, "sql", sql)


_WRITES = re.compile(r"\b(?:INTO|UPDATE|DELETE FROM)\s+(?!SET\b)(\w+)")
_TOUCHES = re.compile(r"\b(?:INTO|UPDATE|FROM|JOIN|USING)\s+(?!SET\b)(\w+)")


@frozen(eq=False)
class Custom:
    """Any statement over rows named `v`: `{v}` in the text stands for `unnest(...) AS v (columns)`.

    An UPDATE that meets two rows for one row of its table takes either of them. So it is run for one row at a time,
    unless `key_indexes` says which columns are the key (of rows with one key the last is taken), or `one_by_one=False`
    says that it does not matter. The tables that it writes and reads are read off its text.
    """

    columns: Mapping[str, str]
    text: str
    key_indexes: tuple[int, ...] | None = None
    one_by_one: bool = field()
    sql: str = field(init=False)
    writes: frozenset[str] = field(init=False)
    touches: frozenset[str] = field(init=False)

    @one_by_one.default
    def _is_plain_update(self) -> bool:
        return self.text.startswith("UPDATE") and self.key_indexes is None

    def __attrs_post_init__(self) -> None:
        rows = f"unnest({_arrays(list(self.columns.values()))}) AS v ({', '.join(self.columns)})"
        object.__setattr__(self, "sql", self.text.replace("{v}", rows))
        object.__setattr__(self, "writes", frozenset(_WRITES.findall(self.text)))
        object.__setattr__(self, "touches", frozenset(_TOUCHES.findall(self.text)))


Statement = Insert | Delete | Custom


def _arrays(types: list[str]) -> str:
    # An array of arrays would be taken apart by unnest, so columns that are arrays travel as text ('{1,2}').
    return ", ".join(f"%s::{'text' if kind.endswith('[]') else kind}[]" for kind in types)


def _elements(names: list[str], types: list[str]) -> str:
    return ", ".join(
        f"v.{name}::{kind}" if kind.endswith("[]") else f"v.{name}" for name, kind in zip(names, types, strict=True)
    )


def int_array(values: Sequence[int]) -> str:
    """The text of an array of integers, for a column whose type ends in []."""
    return "{" + ",".join(map(str, values)) + "}"


class AlreadyThere(Exception):
    """A row that must be new has a key that is taken."""


class HeadMoved(Exception):
    """Another change to the room came first: catch up and decide again."""


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
        """Refuse the change (HeadMoved) unless this is still the room's head. The last event entry is the new one."""
        self.heads.append(RoomHead(room_nid, after, extremities))
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
