"""The head of each room in memory: what the next event is decided on.

A head is ahead of the database by the changes of this process that are not committed yet: each names the one before
as what it was decided on, so that many senders in one room share a transaction. If one is refused, all after it are,
and the head is read anew.
"""

from collections import OrderedDict
from collections.abc import Iterable

from attrs import define, field

from homeserver.runtime.linearizer import Linearizer
from matrix.errors import NotFound
from matrix.events import StateKey
from matrix.ids import EventId, RoomId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from storage.change import Change, Entry, Kind
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.rooms import HeadRow, RoomRow, find_room, find_rooms, load_heads

# Of more extremities than this an event names the deepest; a PDU may name 20: server-server API, "PDUs".
MAX_PREV_EVENTS = 10
# A head that is out of date as soon as it is read is read again, so often.
MAX_LOADS = 10

Extremity = tuple[int, EventId, int]  # number, id, depth


@define(eq=False)
class Head:
    """`state` is the room's resolved state: event numbers by (type, state_key)."""

    room_nid: int
    room_id: RoomId
    version: RoomVersion
    after: int | Change
    extremities: list[Extremity]
    state: dict[StateKey, int] = field(repr=False)

    @property
    def depth(self) -> int:
        return max((depth for _, _, depth in self.extremities), default=0)

    def advance(self, stored: StoredEvent) -> None:
        """The event comes next: it follows those extremities that it names."""
        named = set(stored.event.prev_events)
        self.extremities = [known for known in self.extremities if known[1] not in named]
        self.extremities.append((stored.nid, stored.event_id, stored.event.depth))
        if stored.event.is_state:
            self.state[stored.event.key] = stored.nid


class Heads:
    """Heads by room, the least recently used forgotten beyond `max_state` state entries in all."""

    def __init__(self, *, database: Database, events: Events, max_state: int = 500_000) -> None:
        self._database = database
        self._events = events
        self._max_state = max_state
        self._rooms: dict[str, RoomRow] = {}
        self._rooms_by_nid: dict[int, RoomRow] = {}
        self._heads: OrderedDict[int, Head] = OrderedDict()
        # While heads are read: the newest position that was told of each room meanwhile.
        self._told: dict[int, int] = {}
        self._loads = 0
        self.linearizer = Linearizer()

    async def room(self, room_id: RoomId) -> RoomRow:
        """Raises: NotFound."""
        row = await self.find_room(room_id)
        if row is None:
            raise NotFound("Unknown room")
        return row

    async def find_room(self, room_id: RoomId) -> RoomRow | None:
        row = self._rooms.get(room_id)
        if row is None:
            row = await self._database.read(find_room, room_id)
            if row is not None:
                self._know(row)
        return row

    async def rooms(self, room_nids: Iterable[int]) -> dict[int, RoomRow]:
        """Rows by number."""
        wanted = list(room_nids)
        missing = [nid for nid in wanted if nid not in self._rooms_by_nid]
        if missing:
            for row in (await self._database.read(find_rooms, missing)).values():
                self._know(row)
        return {nid: self._rooms_by_nid[nid] for nid in wanted if nid in self._rooms_by_nid}

    def _know(self, row: RoomRow) -> None:
        self._rooms[row.room_id] = row
        self._rooms_by_nid[row.room_nid] = row

    async def get(self, room_id: RoomId) -> Head:
        """The room's head. Whoever is going to decide on it holds `linearizer.of(room_id)`. Raises: NotFound."""
        row = await self.room(room_id)
        return self._heads.get(row.room_nid) or (await self.get_many([row.room_nid]))[row.room_nid]

    async def get_many(self, room_nids: Iterable[int]) -> dict[int, Head]:
        """The heads of those rooms that exist, read with one look-up."""
        wanted = list(room_nids)
        # Those that are there now: while others are read, some of them may be forgotten.
        found = {room_nid: self._heads[room_nid] for room_nid in wanted if room_nid in self._heads}
        if missing := [room_nid for room_nid in wanted if room_nid not in found]:
            found |= await self._load(missing)
            self._drop_oldest(set(wanted))
        for room_nid in found:
            if room_nid in self._heads:
                self._heads.move_to_end(room_nid)
        return {room_nid: found[room_nid] for room_nid in wanted if room_nid in found}

    async def _load(self, missing: list[int]) -> dict[int, Head]:
        rows = await self.rooms(missing)
        found: dict[int, Head] = {}
        self._loads += 1
        try:
            for _ in range(MAX_LOADS):
                loaded = await self._database.run(load_heads, missing)
                # What the database said before the newest was told is out of date, and would stay so.
                missing = [room_nid for room_nid, row in loaded.items() if self._told.get(room_nid, 0) > row.position]
                for room_nid, row in loaded.items():
                    if room_nid not in missing and room_nid in rows:
                        found[room_nid] = self._keep(rows[room_nid], row)
                if not missing:
                    break
        finally:
            self._loads -= 1
            if self._loads == 0:
                self._told.clear()
        return found

    def _keep(self, room: RoomRow, row: HeadRow) -> Head:
        # Another reader may have been faster, and a decision may already stand on its head.
        if room.room_nid not in self._heads:
            version = ROOM_VERSIONS[room.version]
            self._heads[room.room_nid] = Head(
                room.room_nid, room.room_id, version, row.position, row.extremities, row.state
            )
        return self._heads[room.room_nid]

    def known(self, room_nid: int) -> Head | None:
        """The head if it is in memory."""
        return self._heads.get(room_nid)

    def is_crowded(self, room_id: RoomId, most: int = MAX_PREV_EVENTS) -> bool:
        """Has the room, by what is in memory, more extremities than these? By default: than an event may name."""
        row = self._rooms.get(room_id)
        head = None if row is None else self._heads.get(row.room_nid)
        return head is not None and len(head.extremities) > most

    def put(self, head: Head) -> None:
        """A new room's."""
        self._know(RoomRow(head.room_nid, head.room_id, head.version.id))
        self._heads[head.room_nid] = head

    def forget(self, room_nid: int) -> None:
        self._heads.pop(room_nid, None)

    def drop(self, head: Head) -> None:
        """Forgets this very head, which stands on what will not be; not one that was read since."""
        if self._heads.get(head.room_nid) is head:
            del self._heads[head.room_nid]

    def forget_room(self, room_id: RoomId) -> None:
        """A room that was never committed, or was purged."""
        row = self._rooms.pop(room_id, None)
        if row is not None:
            self._rooms_by_nid.pop(row.room_nid, None)
            self.forget(row.room_nid)

    def _forget_row(self, room_nid: int) -> None:
        row = self._rooms_by_nid.pop(room_nid, None)
        if row is not None:
            self._rooms.pop(row.room_id, None)

    async def state_events(self, head: Head, keys: Iterable[StateKey]) -> dict[StateKey, StoredEvent]:
        """The events of those keys that are in the state of the head."""
        nids = {key: head.state[key] for key in keys if key in head.state}
        known = self._events.known
        found = {key: stored for key, nid in nids.items() if (stored := known(nid)) is not None}
        if len(found) < len(nids):
            loaded = await self._events.get(nids.values())
            found = {key: loaded[nid] for key, nid in nids.items() if nid in loaded}
        return found

    async def state_event(self, head: Head, event_type: str, state_key: str = "") -> StoredEvent | None:
        return (await self.state_events(head, [(event_type, state_key)])).get((event_type, state_key))

    def read_stream(self, entries: list[Entry]) -> None:
        """Folds what was committed. Our own changes are in their heads already; others' replace them."""
        for entry in entries:
            if entry.room_nid is None:
                continue
            if entry.kind is Kind.ROOM and (entry.user_id is not None or entry.body.get("whole")):
                # Of a room that we are not in yet nobody knows the version for sure.
                self._forget_row(entry.room_nid)
            if self._loads and entry.kind is Kind.EVENT:
                self._told[entry.room_nid] = entry.position
            head = self._heads.get(entry.room_nid)
            if head is None:
                continue
            if entry.kind is Kind.EVENT:
                self._fold(head, entry)
            elif entry.kind is Kind.ROOM and entry.user_id is None and not _has(head, entry):
                self.forget(head.room_nid)

    def _fold(self, head: Head, entry: Entry) -> None:
        if isinstance(head.after, Change):
            # Positions of a change under way are provisional: only its own last entry says that it is there.
            if entry is head.after.last_in(head.room_nid):
                head.after = entry.position
            return
        if entry.position <= head.after:
            return
        stored: StoredEvent = entry.body
        linear = set(stored.event.prev_events) == {event_id for _, event_id, _ in head.extremities}
        if stored.event.is_state or stored.flags or not linear:
            self.forget(head.room_nid)
            return
        head.advance(stored)
        head.after = entry.position

    def _drop_oldest(self, but: set[int]) -> None:
        total = sum(len(head.state) for head in self._heads.values())
        for room_nid, head in list(self._heads.items()):
            if total <= self._max_state:
                return
            if room_nid not in but and not isinstance(head.after, Change):
                total -= len(head.state)
                del self._heads[room_nid]


def _has(head: Head, entry: Entry) -> bool:
    """Is the state resolution that the entry tells in the head? Its change is our own, or the head was read since."""
    return bool(entry.body.get("resolved")) and (isinstance(head.after, Change) or head.after >= entry.position)
