"""Events as they are stored: rows of `events`, and an LRU of them that the whole process shares."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from attrs import define, field, frozen
from psycopg2.extensions import cursor as Cursor
from twisted.internet.interfaces import IReactorTime

from matrix.events import Event, from_pdu
from matrix.ids import EventId
from matrix.redaction import redact
from matrix.relations import relation
from matrix.room_versions import ROOM_VERSIONS
from storage.change import Change, Custom, Entry, Insert, Kind, int_array
from storage.database import Database
from storage.event_transactions import TransactionKey
from storage.expected import Expected
from storage.loader import Loader
from storage.prepared import Often

MAX_REDACTIONS = 1_000
# Joins many extremities of a room and says nothing: no client hears of it.
DUMMY = "org.matrix.dummy_event"


class Flags:
    """Plain integers: of an enumeration each `&` is a call, and a large room has a hundred thousand of them."""

    REJECTED = 1
    SOFT_FAILED = 2
    OUTLIER = 4


@define(eq=False, slots=True)
class StoredEvent:
    """An event and what this server knows of it.

    `position` is 0 for outliers, negative for history fetched later. `replaces` is the state event that it replaced,
    0 if it did not become the room's state.
    Once redacted, `event` is the redacted form everywhere; only the database has the original.
    """

    nid: int
    room_nid: int
    event: Event
    entry: Entry | None = field(default=None, repr=False)  # a new event's position, known once committed
    committed_position: int = 0
    flags: int = 0  # of Flags
    replaces: int | None = None
    redacted_by: int | None = None
    redacted: int | None = None  # of a redaction that has just been applied: the event that it redacted
    sent_by: TransactionKey | None = field(default=None, repr=False)  # of an event that this process sent
    # Do other events refer to it? True and False are known; None has to be looked up.
    has_children: bool | None = None
    client_json: bytes | None = field(default=None, repr=False)  # cache of services/rooms/serialise

    @property
    def position(self) -> int:
        return self.entry.position if self.entry is not None else self.committed_position

    @property
    def event_id(self) -> EventId:
        return self.event.event_id

    @property
    def visible(self) -> bool:
        """May be shown to clients at all: neither rejected nor soft-failed, with a place in the room's history."""
        return not self.flags and self.position != 0 and self.event.type != DUMMY

    @property
    def became_state(self) -> bool:
        """Was it the room's state once it was there? Not so where state resolution preferred another."""
        return self.event.is_state and self.replaces != 0

    def place(self, told: "StoredEvent") -> None:
        """It was an outlier, and now has the place that `told` has."""
        self.entry, self.committed_position = told.entry, told.committed_position
        self.flags, self.replaces = told.flags, told.replaces

    def redact(self, redaction_nid: int) -> None:
        if self.redacted_by is None:
            self.redacted_by = redaction_nid
            pdu = redact(self.event.pdu, self.event.version)
            self.event = from_pdu(pdu, self.event.version, self.event.event_id)
        self.client_json = None


ADD = Insert(
    "events",
    {
        "event_nid": "bigint",
        "room_nid": "int",
        "position": "bigint",
        "depth": "bigint",
        "event_id": "text",
        "type": "text",
        "sender": "text",
        "origin_server_ts": "bigint",
        "state_key_nid": "int",
        "flags": "smallint",
        "replaces": "bigint",
        "prev_nids": "bigint[]",
        "auth_nids": "bigint[]",
        "json": "text",
    },
)
# The first redaction counts, also of two in one batch: a process numbers a room's events in their order.
SET_REDACTED = Custom(
    {"event_nid": "bigint", "redacted_by": "bigint"},
    "UPDATE events SET redacted_by = v.redacted_by"
    " FROM (SELECT event_nid, min(redacted_by) AS redacted_by FROM {v} GROUP BY 1) v"
    " WHERE events.event_nid = v.event_nid AND events.redacted_by IS NULL",
    one_by_one=False,
)


@frozen
class EventRow:
    """What `add` needs beside the event."""

    stored: StoredEvent
    state_key_nid: int | None
    prev_nids: Sequence[int]
    auth_nids: Sequence[int]


def add(change: Change, row: EventRow, position: Any) -> None:
    """Puts an event's row into the change. `position`: an `At`, a negative number, or None for an outlier."""
    change.put(ADD, row_values(row, position))


def row_values(row: EventRow, position: Any) -> tuple[Any, ...]:
    """The values of `ADD`."""
    stored, event = row.stored, row.stored.event
    return (
        stored.nid,
        stored.room_nid,
        position,
        event.depth,
        event.event_id,
        event.type,
        event.sender,
        event.origin_server_ts,
        row.state_key_nid,
        stored.flags,
        stored.replaces,
        int_array(row.prev_nids),
        int_array(row.auth_nids),
        event.canonical.decode(),
    )


_SELECT = (
    "SELECT e.event_nid, e.room_nid, e.position, e.event_id, e.flags, e.replaces, e.redacted_by, e.json, r.version"
    " FROM events e JOIN rooms r USING (room_nid)"
)
_BY_NID = Often(f"{_SELECT} WHERE e.event_nid = ANY(%s)")
_BY_ID = Often(f"{_SELECT} WHERE e.event_id = ANY(%s)")
_BETWEEN = Often(f"{_SELECT} WHERE e.position > %s AND e.position <= %s ORDER BY 3 LIMIT %s")


def _stored(row: tuple[Any, ...]) -> StoredEvent:
    nid, room_nid, position, event_id, flags, replaces, redacted_by, json, version = row
    event = from_pdu(orjson.loads(json), ROOM_VERSIONS[version], EventId(event_id), json.encode())
    stored = StoredEvent(nid, room_nid, event, None, position or 0, flags, replaces)
    if redacted_by is not None:
        stored.redact(redacted_by)
    return stored


def find_events(cur: Cursor, nids: list[int]) -> dict[int, StoredEvent]:
    cur.execute(_BY_NID, (nids,))
    return {row[0]: _stored(row) for row in cur}


def find_events_by_id(cur: Cursor, event_ids: list[EventId]) -> dict[EventId, StoredEvent]:
    # PostgreSQL's text has no NUL; one such id, of a remote event's `redacts` say, must not fail the others.
    cur.execute(_BY_ID, ([one for one in event_ids if "\x00" not in one],))
    return {EventId(row[3]): _stored(row) for row in cur}


def events_between(cur: Cursor, after: int, upto: int, limit: int) -> list[StoredEvent]:
    """The events of the stream in (after, upto], in order; redactions know what they redacted."""
    cur.execute(_BETWEEN, (after, upto, limit))
    events = [_stored(row) for row in cur]
    redactions = {stored.nid: stored for stored in events if stored.event.redacts is not None}
    if redactions:
        cur.execute(
            "SELECT t.redacted_by, t.event_nid FROM events r JOIN events t ON t.redacted_by = r.event_nid"
            " AND t.event_id = ANY(%s) WHERE r.event_nid = ANY(%s)",
            ([stored.event.redacts for stored in redactions.values()], list(redactions)),
        )
        for redaction_nid, target_nid in cur:
            redactions[redaction_nid].redacted = target_nid
    return events


class Events:
    """Events by number or id: from memory, else gathered into one query. Each event is one object in a process."""

    def __init__(self, *, database: Database, reactor: IReactorTime, max_events: int = 20_000) -> None:
        self._by_nid: OrderedDict[int, StoredEvent] = OrderedDict()
        self._nid_by_id: dict[EventId, int] = {}
        # What was redacted lately: the event may have been read before, and arrive after.
        self._redactions: OrderedDict[int, int] = OrderedDict()
        self._max = max_events
        self.expected = Expected()
        self._nids = Loader(find_events, database=database, reactor=reactor)
        self._ids = Loader(find_events_by_id, database=database, reactor=reactor)

    def remember(self, stored: StoredEvent) -> StoredEvent:
        """The one object for this event: the one we have, or from now on this one."""
        known = self._by_nid.get(stored.nid)
        if known is not None:
            if known.flags & Flags.OUTLIER and not stored.flags & Flags.OUTLIER:
                known.place(stored)
            return known
        if (redaction_nid := self._redactions.get(stored.nid)) is not None:
            stored.redact(redaction_nid)
        self._by_nid[stored.nid] = stored
        self._nid_by_id[stored.event_id] = stored.nid
        self.expected.doubt(stored.event_id)
        if len(self._by_nid) > self._max:
            _, forgotten = self._by_nid.popitem(last=False)
            self._nid_by_id.pop(forgotten.event_id, None)
        return stored

    def known(self, nid: int) -> StoredEvent | None:
        """The event if it is in memory."""
        stored = self._by_nid.get(nid)
        if stored is not None:
            self._by_nid.move_to_end(nid)
        return stored

    def known_by_id(self, event_id: EventId) -> StoredEvent | None:
        """The event if it is in memory."""
        nid = self._nid_by_id.get(event_id)
        return None if nid is None else self.known(nid)

    def forget(self, stored: StoredEvent) -> None:
        self._by_nid.pop(stored.nid, None)
        self._nid_by_id.pop(stored.event_id, None)
        self.expected.doubt(stored.event_id)

    async def get(self, nids: Iterable[int]) -> dict[int, StoredEvent]:
        """Those events that exist, by number."""
        found: dict[int, StoredEvent] = {}
        missing = []
        for nid in nids:
            stored = self.known(nid)
            if stored is None:
                missing.append(nid)
            else:
                found[nid] = stored
        if missing:
            loaded = await self._nids.load_many(missing)
            found.update((nid, self.remember(stored)) for nid, stored in loaded.items())
        return found

    async def by_id(self, event_ids: Iterable[EventId]) -> dict[EventId, StoredEvent]:
        """Those events that exist, by id."""
        found: dict[EventId, StoredEvent] = {}
        missing = []
        for event_id in event_ids:
            stored = self.known_by_id(event_id)
            if stored is not None:
                found[event_id] = stored
            elif not self.expected.is_absent(event_id):
                missing.append(event_id)
        if missing:
            loaded = await self._ids.load_many(missing)
            found.update((event_id, self.remember(stored)) for event_id, stored in loaded.items())
        return found

    def read_stream(self, entries: list[Entry]) -> None:
        """What new events do to older ones in memory: redactions redact, relations are children.

        And in a room that has become known whole, some events turn out to be refused.
        """
        for entry in entries:
            if entry.kind is Kind.ROOM and entry.user_id is None:
                for nid in entry.body.get("rejected", ()):
                    self._reject(nid)
            if entry.kind is not Kind.EVENT:
                continue
            stored: StoredEvent = entry.body
            if stored.redacted is not None:
                self._redact(stored.redacted, stored.nid)
            elif stored.event.redacts is not None:
                self.expected.refer(stored.event.redacts)
            to = relation(stored.event.content) if "m.relates_to" in stored.event.content else None
            if to is not None and to.event_id is not None:
                parent = self._by_nid.get(self._nid_by_id.get(to.event_id, 0))
                if parent is not None:
                    parent.has_children = True
                else:
                    self.expected.refer(to.event_id)

    def _reject(self, nid: int) -> None:
        if (stored := self._by_nid.get(nid)) is not None:
            stored.flags |= Flags.REJECTED

    def _redact(self, nid: int, redaction_nid: int) -> None:
        self._redactions[nid] = redaction_nid
        if len(self._redactions) > MAX_REDACTIONS:
            self._redactions.popitem(last=False)
        if (target := self._by_nid.get(nid)) is not None:
            target.redact(redaction_nid)

    async def find(self, event_id: EventId) -> StoredEvent | None:
        return (await self.by_id([event_id])).get(event_id)
