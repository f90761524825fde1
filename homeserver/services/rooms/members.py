"""Who is in which room, in memory: the rooms of each user who asks, the members of each room that is spoken in.

Both are folds of the stream over what the database said at some position. What is told while the database answers is
applied to the answer, so that nothing falls between.
"""

from homeserver.runtime.caches import Lru
from matrix.ids import UserId
from storage import memberships
from storage.change import Entry, Kind
from storage.database import Database
from storage.events import StoredEvent
from storage.memberships import Membership
from storage.stream import Stream

RoomsOfUser = dict[int, Membership]


class Members:
    """`rooms_of` a user by room number; `members_of` a room: membership by user, those who left not among them.

    What is given is the cache itself: read it, do not change it, and do not keep it over an await.
    """

    def __init__(self, *, database: Database, stream: Stream, max_users: int = 20_000, max_rooms: int = 5_000) -> None:
        self._database = database
        self._stream = stream
        self._rooms: Lru[str, RoomsOfUser] = Lru("rooms_of_user", max_users)
        self._members: Lru[int, dict[UserId, str]] = Lru("members_of_room", max_rooms)

    @property
    def position(self) -> int:
        """Up to where the stream has told of members."""
        return self._stream.position

    async def rooms_of(self, user_id: str) -> RoomsOfUser:
        rooms = self._rooms.get(user_id)
        if rooms is None:
            before = self._stream.position
            rooms = await self._database.read(memberships.rooms_of, user_id)
            meanwhile = self._stream.entries(max(before, self._stream.floor), self._stream.position)
            if any(_is_sweeping(entry) or _is_of_user(entry, user_id) for entry in meanwhile):
                return await self.rooms_of(user_id)
            for entry in meanwhile:
                _fold_rooms(rooms, user_id, entry)
            self._rooms.set(user_id, rooms)
        return rooms

    async def members_of(self, room_nid: int) -> dict[UserId, str]:
        members = self._members.get(room_nid)
        if members is None:
            before = self._stream.position
            members = await self._database.read(memberships.members_of, room_nid)
            meanwhile = self._stream.entries(max(before, self._stream.floor), self._stream.position)
            if any(entry.room_nid == room_nid and (_is_sweeping(entry) or _is_whole(entry)) for entry in meanwhile):
                return await self.members_of(room_nid)
            for entry in meanwhile:
                _fold_members(members, room_nid, entry)
            self._members.set(room_nid, members)
        return members

    def known_members(self, room_nid: int) -> dict[UserId, str] | None:
        """The members if they are in memory."""
        return self._members.get(room_nid)

    async def joined(self, room_nid: int) -> list[UserId]:
        return [user_id for user_id, membership in (await self.members_of(room_nid)).items() if membership == "join"]

    async def joined_count(self, room_nid: int) -> int:
        return sum(1 for membership in (await self.members_of(room_nid)).values() if membership == "join")

    async def joined_rooms(self, user_id: str) -> list[int]:
        return [nid for nid, row in (await self.rooms_of(user_id)).items() if row.membership == "join"]

    async def is_joined(self, user_id: str, room_nid: int) -> bool:
        row = (await self.rooms_of(user_id)).get(room_nid)
        return row is not None and row.membership == "join"

    async def share_a_room(self, user_id: str, other: str) -> bool:
        """Are both joined to one room?"""
        return not set(await self.joined_rooms(user_id)).isdisjoint(await self.joined_rooms(other))

    async def sharing_a_room(self, user_id: str) -> set[UserId]:
        """All users who are joined to a room that the user is joined to, the user included if joined to any."""
        found: set[UserId] = set()
        for room_nid in await self.joined_rooms(user_id):
            found.update(await self.joined(room_nid))
        return found

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.room_nid is None:
                continue
            if entry.kind is Kind.ROOM:
                self._change(entry)
            elif entry.kind is Kind.EVENT and entry.body.event.type == "m.room.member":
                self._fold(entry, entry.body)

    def _fold(self, entry: Entry, stored: StoredEvent) -> None:
        rooms = self._rooms.get(stored.event.state_key or "")
        if rooms is not None:
            _fold_rooms(rooms, stored.event.state_key or "", entry)
        members = self._members.get(stored.room_nid)
        if members is not None:
            _fold_members(members, stored.room_nid, entry)

    def _change(self, entry: Entry) -> None:
        """Something of the room changed without an event: a state resolution, a purge, a user who forgot it."""
        assert entry.room_nid is not None
        if entry.user_id is not None:
            self._rooms.pop(entry.user_id)
            return
        if _is_whole(entry):
            self._members.pop(entry.room_nid)
        if _is_sweeping(entry):
            self._rooms.clear()
            return
        for user_id in entry.body["memberships"]:
            if (rooms := self._rooms.get(user_id)) is not None:
                _fold_rooms(rooms, user_id, entry)
        if (members := self._members.get(entry.room_nid)) is not None:
            _fold_members(members, entry.room_nid, entry)


def _is_whole(entry: Entry) -> bool:
    """Are all members of the room others than before, for all that the entry says?"""
    return entry.kind is Kind.ROOM and entry.user_id is None and bool(entry.body.get("whole", True))


def _is_sweeping(entry: Entry) -> bool:
    """May anybody's membership be another than before, for all that the entry says?"""
    return entry.kind is Kind.ROOM and entry.user_id is None and entry.body.get("memberships") is None


def _is_of_user(entry: Entry, user_id: str) -> bool:
    """Did something of the user's own rooms change beside their events: one was forgotten, an invite came in?"""
    return entry.kind is Kind.ROOM and entry.user_id == user_id


def _resolved(entry: Entry) -> dict[str, tuple[str, int]]:
    """The memberships that a state resolution has made: (membership, number of the member event) by user."""
    if entry.kind is not Kind.ROOM or entry.user_id is not None:
        return {}
    return entry.body.get("memberships") or {}


def _member_event(entry: Entry) -> StoredEvent | None:
    if entry.kind is not Kind.EVENT or entry.body.event.type != "m.room.member" or entry.body.flags:
        return None
    stored: StoredEvent = entry.body
    # State resolution may prefer another to it.
    return stored if stored.became_state and stored.event.membership is not None else None


def _fold_rooms(rooms: RoomsOfUser, user_id: str, entry: Entry) -> None:
    stored = _member_event(entry)
    if stored is None or stored.event.state_key != user_id:
        if entry.room_nid is not None and (told := _resolved(entry).get(user_id)) is not None:
            rooms[entry.room_nid] = Membership(told[0], told[1], entry.position)
        return
    known = rooms.get(stored.room_nid)
    if known is None or known.position < entry.position:
        assert stored.event.membership is not None
        rooms[stored.room_nid] = Membership(stored.event.membership, stored.nid, entry.position)


def _fold_members(members: dict[UserId, str], room_nid: int, entry: Entry) -> None:
    if entry.room_nid != room_nid:
        return
    for user_id, (membership, _) in _resolved(entry).items():
        _set_member(members, UserId(user_id), membership)
    stored = _member_event(entry)
    if stored is not None and stored.event.state_key is not None and stored.event.membership is not None:
        _set_member(members, UserId(stored.event.state_key), stored.event.membership)


def _set_member(members: dict[UserId, str], user_id: UserId, membership: str) -> None:
    if membership == "leave":
        members.pop(user_id, None)
    else:
        members[user_id] = membership
