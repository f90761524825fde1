"""Whose devices a user's clients have to look at again, and whose no longer.

Every sync asks it, so the usual case, a few entries in memory, touches no table.

Source: client-server API, "Tracking the device list for a user"; GET /keys/changes.
"""

from collections.abc import Collection, Mapping

from homeserver.services.rooms.members import Members
from matrix.ids import UserId
from storage import device_lists
from storage.change import Entry, Kind
from storage.database import Database
from storage.device_lists import INSIDE, Moves
from storage.events import Events, StoredEvent
from storage.stream import Stream

# Beyond so many entries a few queries are cheaper than looking at each.
MAX_ENTRIES = 10_000


class DeviceLists:
    def __init__(self, *, database: Database, stream: Stream, members: Members, events: Events) -> None:
        self._database = database
        self._stream = stream
        self._members = members
        self._events = events

    async def changed(self, reader: UserId, since: int, upto: int) -> set[str]:
        """Who changed devices or keys in (since, upto], as far as the reader may hear it.

        Not looked at: who came to share a room with the reader meanwhile.
        """
        if self._is_in_memory(since, upto):
            users = device_lists.told_to(reader, self._stream.entries(since, upto))
        else:
            users = set(await self._database.read(device_lists.changed, since, upto, reader))
        return (users & {reader}) | await self._sharing(reader, users - {reader})

    async def changes(self, reader: UserId, since: int, upto: int) -> tuple[set[str], set[str]]:
        """`changed` and `left` of /sync and /keys/changes: those who changed or came, and those who share no room now.

        Superfluous names are possible in the first, which costs the client a query and nothing else.
        """
        changed = await self.changed(reader, since, upto)
        if self._is_in_memory(since, upto):
            moves = await self._moves(reader, self._stream.entries(since, upto))
        else:
            moves = await self._database.read(device_lists.moves, reader, since)
        left = moves.went - await self._sharing(reader, moves.went)
        return (changed | moves.came) - left, left

    def _is_in_memory(self, since: int, upto: int) -> bool:
        return since >= self._stream.floor and upto - since <= MAX_ENTRIES

    async def _sharing(self, reader: UserId, users: Collection[str]) -> set[str]:
        """Those of the users who are joined to a room with the reader."""
        if not users:
            return set()
        sharing: set[str] = set()
        for room_nid in await self._members.joined_rooms(reader):
            members = self._members.known_members(room_nid)
            if members is None:
                return await self._database.read(device_lists.sharing_a_room, reader, list(users))
            sharing.update(user_id for user_id in members.keys() & users if members[user_id] == "join")
        return sharing

    async def _moves(self, reader: UserId, entries: list[Entry]) -> Moves:
        """What the member events among the entries tell, and state resolutions that changed memberships."""
        moves = Moves(set(), set())
        moved = [entry.body for entry in entries if entry.kind is Kind.EVENT and _is_member_event(entry.body)]
        resolved = [entry for entry in entries if entry.kind is Kind.ROOM and entry.user_id is None]
        if not moved and not resolved:
            return moves
        replaced = await self._events.get(stored.replaces for stored in moved if stored.replaces is not None)
        told = [
            (stored.room_nid, stored.event.state_key or "", stored.event.membership or "leave")
            for stored in moved
            if not _is_same_membership(stored, replaced)
        ]
        rooms = await self._members.rooms_of(reader)
        own_rooms = set()
        for entry in resolved:
            room_nid, memberships = entry.room_nid or 0, entry.body.get("memberships")
            if memberships is None and await self._members.is_joined(reader, room_nid):
                own_rooms.add(room_nid)
            told += [(room_nid, user_id, membership) for user_id, (membership, _) in (memberships or {}).items()]
        for room_nid, user_id, membership in told:
            if user_id == reader:
                own_rooms.add(room_nid)
            elif (room := rooms.get(room_nid)) is not None and room.membership == "join":
                (moves.came if membership in INSIDE else moves.went).add(user_id)
        for room_nid in own_rooms:
            await self._add_own_move(moves, reader, room_nid)
        return moves

    async def _add_own_move(self, moves: Moves, reader: UserId, room_nid: int) -> None:
        """The reader came into a room or went: so did everyone in it, for the reader.

        Who comes is told of themselves too, as in Synapse: who encrypts for the room does it for the reader's other
        devices as well.
        """
        is_in = await self._members.is_joined(reader, room_nid)
        users = moves.came if is_in else moves.went
        members = await self._members.members_of(room_nid)
        users.update(user_id for user_id in members if user_id != reader and members[user_id] in INSIDE)
        if is_in:
            moves.came.add(reader)


def _is_member_event(stored: StoredEvent) -> bool:
    return stored.event.type == "m.room.member" and stored.became_state and not stored.flags


def _is_same_membership(stored: StoredEvent, replaced: Mapping[int, StoredEvent]) -> bool:
    """Has only a name or an avatar changed?"""
    before = None if stored.replaces is None else replaced.get(stored.replaces)
    return before is not None and before.event.membership == stored.event.membership
