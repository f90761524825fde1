"""Memberships of our users in rooms that this server is not in.

Such a member event has no place in the room's history and is in no state that we know; it is kept apart from the events
of rooms. The user's row in `memberships` names it, and a ROOM entry of the stream tells it, so that sync and the caches
see it. What the other server shows of the room is kept beside it.

Source: server-server API, "Inviting to a room", "Knocking upon a room"; client-server API, "Stripped state".
"""

from collections.abc import Sequence

from attrs import frozen

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake
from homeserver.services.rooms.members import Members
from matrix.events import Event, Json
from matrix.ids import RoomId, ServerName, UserId
from storage import out_of_band as rows
from storage.change import AlreadyThere, Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, Flags, StoredEvent
from storage.rooms import ADD_ROOM, RoomRow

# Two invites to one unknown room make its row at the same time: one of them finds it then.
ATTEMPTS = 3
OPEN = ("invite", "knock")
# Changes that wait for each other.
MAX_WAITING = 200


@frozen
class Known:
    """The newest member event of a user. `server` gave it to us; None for an event of the time when we were there."""

    stored: StoredEvent
    server: ServerName | None = None

    @property
    def event(self) -> Event:
        return self.stored.event


@frozen(kw_only=True)
class Storage:
    database: Database
    committer: Committer
    events: Events


class OutOfBand:
    """`turns`: who joins a room holds it by the room's id; who changes a membership from outside, by (room id, user).

    An invite does not wait for somebody else's join, which may take minutes: its sender would not wait so long.
    """

    def __init__(self, *, heads: Heads, members: Members, intake: Intake, storage: Storage) -> None:
        self._heads = heads
        self._members = members
        self._intake = intake
        self._storage = storage
        self.turns = Linearizer(max_waiting=MAX_WAITING)

    async def find(self, user_id: UserId, room_id: RoomId) -> Known | None:
        """What is known of the user's membership; None if they never had one."""
        room = await self._heads.find_room(room_id)
        row = None if room is None else (await self._members.rooms_of(user_id)).get(room.room_nid)
        return None if row is None else await self._known(row.event_nid)

    async def find_open(self, user_id: UserId, room_id: RoomId) -> Known | None:
        """An invite or a knock of a time when we were not in the room, while it is not answered."""
        room = await self._heads.find_room(room_id)
        row = None if room is None else (await self._members.rooms_of(user_id)).get(room.room_nid)
        if row is None or row.membership not in OPEN:
            return None
        known = await self._known(row.event_nid)
        return None if known is None or known.server is None else known

    async def put(self, event: Event, server: ServerName, room_state: Sequence[Json]) -> None:
        """Makes the event its user's membership; returns when it is durable. A second time it is no work.

        `room_state` is stripped. The caller holds the user's turn, has checked the event, and knows that this server
        is not in the room. Who joins meanwhile stays joined.
        """
        for attempt in range(ATTEMPTS):
            try:
                await self._put(event, server, list(room_state))
                return
            except AlreadyThere:
                if attempt == ATTEMPTS - 1:
                    raise

    async def _put(self, event: Event, server: ServerName, room_state: list[Json]) -> None:
        before = await self.find(UserId(event.key[1]), event.room_id)
        if before is not None and before.event.event_id == event.event_id:
            return
        change = Change()
        room = await self._room(change, event, room_state)
        replaces = None
        if before is not None:
            # What is out of band follows the last event of when we were there, and takes the place of its kind.
            replaces = before.stored.nid if before.server is None else before.stored.replaces
            change.put(rows.DELETE, (before.stored.nid,))
        (nid,) = await self._intake.event_nids.take(1)
        stored = StoredEvent(nid, room.room_nid, event, flags=Flags.OUTLIER, replaces=replaces)
        body = {"membership": event.membership, "event_nid": nid}
        at = change.announce(Entry(Kind.ROOM, room.room_nid, event.state_key, body=body))
        rows.put(change, rows.OutOfBand(stored, server, room_state), at)
        await self._storage.committer(change)
        if room.version != event.version.id:
            self._heads.forget_room(room.room_id)

    async def _known(self, nid: int) -> Known | None:
        found = (await self._storage.database.read(rows.find, [nid])).get(nid)
        if found is not None:
            return Known(found.event, found.server)
        stored = (await self._storage.events.get([nid])).get(nid)
        return None if stored is None else Known(stored)

    async def _room(self, change: Change, event: Event, room_state: Sequence[Json]) -> RoomRow:
        room = await self._heads.find_room(event.room_id)
        if room is not None:
            if room.version != event.version.id:
                change.put(rows.SET_VERSION, (room.room_nid, event.version.id))
            return room
        (nid,) = await self._intake.room_nids.take(1)
        create: Json = next((one for one in room_state if one["type"] == "m.room.create"), {})
        room_type = create.get("content", {}).get("type")
        room_type = room_type if isinstance(room_type, str) and "\x00" not in room_type else None
        change.put(ADD_ROOM, (nid, event.room_id, event.version.id, create.get("sender", ""), room_type))
        return RoomRow(nid, event.room_id, event.version.id)
