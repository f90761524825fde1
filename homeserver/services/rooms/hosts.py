"""Which servers are in which room, in memory: a fold of the stream over what the database said at some position.

A join adds its user's server. Whether a leave takes it away depends on the server's other users: it is doubted then,
and the database asked for that one server when the room is next asked for. So a room of 50,000 members costs as much
as it has servers. Of a room that is made while we listen all is known: its first events ask the database nothing.
"""

from collections.abc import Collection

from attrs import define, field

from homeserver.services.rooms.members import Members
from matrix.ids import ServerName, UserId
from storage import room_servers
from storage.change import Entry, Kind
from storage.database import Database
from storage.events import StoredEvent
from storage.loader import Loader
from storage.stream import Stream

# Servers of all rooms in memory together; beyond it rooms are forgotten. Some 60 bytes each.
MAX_SERVERS = 2_000_000
# So many servers that came into a room may come before it is asked who was there before them.
MAX_CAME = 16
_NOBODY: frozenset[ServerName] = frozenset()


@define(eq=False)
class _Servers:
    """Before each event behind the position `since` the servers were `now`, but for those that `came` with it or later.

    And but for those in doubt since a position. `came`: (position, server), in order.
    """

    now: set[ServerName]
    since: int
    came: list[tuple[int, ServerName]] = field(factory=list)
    doubts: dict[ServerName, int] = field(factory=dict)

    def add(self, server: ServerName, position: int) -> None:
        self.now.add(server)
        self.came.append((position, server))
        if len(self.came) > MAX_CAME:
            self.since = max(self.since, self.came.pop(0)[0])

    def before(self, position: int) -> Collection[ServerName] | None:
        if position <= self.since or any(doubted < position for doubted in self.doubts.values()):
            return None
        later = {server for came, server in self.came if came >= position}
        return self.now - later if later else self.now


class Hosts:
    """What is given is the cache itself: read it, do not change it, and do not keep it over an await."""

    def __init__(
        self, *, database: Database, stream: Stream, members: Members, loader: Loader[int, room_servers.ServersRow]
    ) -> None:
        self._database = database
        self._stream = stream
        self._members = members
        self._loader = loader
        self._rooms: dict[int, _Servers] = {}
        self._count = 0

    async def in_room(self, room_nid: int) -> Collection[ServerName]:
        """The servers of the joined members, ours among them."""
        return (await self._room(room_nid)).now

    async def before(self, room_nid: int, position: int) -> Collection[ServerName]:
        """The servers that were in the room before the event at the position."""
        room = self._rooms.get(room_nid)
        known = None if room is None else room.before(position)
        if known is None:
            # After this nothing of it is in doubt.
            known = (await self._room(room_nid)).before(position)
        if known is None:
            known = await self._database.read(room_servers.servers_before, room_nid, position)
        return known

    async def sharing_with(self, user_id: UserId) -> set[ServerName]:
        """The servers that are in a room which the user is joined to, ours among them."""
        rooms = await self._members.joined_rooms(user_id)
        missing = [room_nid for room_nid in rooms if room_nid not in self._rooms]
        if missing:
            # One query for all of them.
            loads = [self._loader.load(room_nid) for room_nid in missing]
            before = self._stream.position
            for room_nid, load in zip(missing, loads, strict=True):
                self._keep(room_nid, await load, before)
        found: set[ServerName] = set()
        for room_nid in rooms:
            found.update(await self.in_room(room_nid))
        return found

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.room_nid is None:
                continue
            if entry.kind is Kind.ROOM and entry.user_id is None:
                # Something changed without an event: a state resolution, a purge.
                self._forget(entry.room_nid)
            elif entry.kind is Kind.EVENT:
                room = self._rooms.get(entry.room_nid)
                if room is not None:
                    self._fold(room, entry)
                elif entry.body.event.type == "m.room.create" and not entry.body.flags:
                    # Nobody was in it before.
                    self._rooms[entry.room_nid] = _Servers(set(), entry.position - 1)

    def _fold(self, room: _Servers, entry: Entry) -> None:
        stored: StoredEvent = entry.body
        event = stored.event
        if event.type != "m.room.member" or stored.flags or not stored.became_state or event.state_key is None:
            return
        server = UserId(event.state_key).domain
        if event.membership != "join":
            if server in room.now:
                room.doubts[server] = entry.position
        elif server in room.doubts:
            # Whatever the database is about to say of it is out of date.
            room.doubts[server] = entry.position
        elif server not in room.now:
            room.add(server, entry.position)
            self._count += 1

    async def _room(self, room_nid: int) -> _Servers:
        room = self._rooms.get(room_nid)
        if room is None:
            before = self._stream.position
            room = self._keep(room_nid, await self._loader.load(room_nid), before)
        while room.doubts:
            await self._resolve(room_nid, room)
        return room

    def _keep(self, room_nid: int, row: room_servers.ServersRow | None, before: int) -> _Servers:
        room = self._rooms.get(room_nid)
        if room is None:
            room = _Servers(set(_NOBODY if row is None else row.servers), 0 if row is None else row.since)
            # What was told while the database answered.
            for entry in self._stream.entries(max(before, self._stream.floor), self._stream.position):
                if entry.room_nid == room_nid and entry.kind is Kind.EVENT:
                    self._fold(room, entry)
            self._rooms[room_nid] = room
            self._count += len(room.now)
            self._drop_oldest(room_nid)
        return room

    async def _resolve(self, room_nid: int, room: _Servers) -> None:
        """Are those in doubt still there?"""
        doubts = dict(room.doubts)
        found = await self._database.read(room_servers.find_server, room_nid, list(doubts))
        for server, position in doubts.items():
            if room.doubts.get(server) != position:
                continue
            del room.doubts[server]
            is_in, since = found.get(server, (False, position))
            room.since = max(room.since, since)
            if not is_in:
                room.now.remove(server)
                self._count -= 1

    def _forget(self, room_nid: int) -> None:
        room = self._rooms.pop(room_nid, None)
        if room is not None:
            self._count -= len(room.now)

    def _drop_oldest(self, but: int) -> None:
        while self._count > MAX_SERVERS and len(self._rooms) > 1:
            oldest = next(iter(self._rooms))
            if oldest == but:
                return
            self._forget(oldest)
