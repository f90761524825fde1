"""What concerns one application service, at one position of the stream.

A service hears of an event if it speaks for the sender or for the member that the event is about, or if the room is of
interest to it: by its id, by one of its aliases, or because a user that it speaks for is joined to it. So it gets its
own events back too. Only users of this server count.

Who is joined is a fold of the stream, for each service: by room, those of its users who are in it. What an event costs
does not depend on how many members its room has. A service that is behind is judged by who was there at the time.

Source: application service API, "Registration", "Pushing ephemeral data"; where they are silent: Synapse.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from appservice.aliased import AliasedRooms
from appservice.registration import Registration
from homeserver.runtime.caches import Lru
from matrix.ids import RoomId
from storage.appservice_reading import Seen
from storage.change import Kind

MAX_ROOMS_REMEMBERED = 20_000
_OF_DEVICES = (Kind.DEVICE_LIST, Kind.KEY_COUNTS)
# In the body of an entry of Kind.DEVICE_LIST without a user: members of its room, None for all.
NEARING = "nearing"

# The rooms that a user is joined to.
RoomsOf = Mapping[str, Collection[int]]
Owns = Callable[[str], bool]


class Interest:
    """`owns`: does the service speak for the user? `room_id_of`: a room's id, if it is in memory.

    `joined`: those of its users who are in a room. `aliased`: rooms with an alias of its. `with_devices`: those of its
    users who may have devices.
    """

    def __init__(
        self,
        registration: Registration,
        *,
        owns: Owns,
        room_id_of: Callable[[int], RoomId | None],
        joined: dict[int, set[str]],
        aliased: AliasedRooms,
        with_devices: set[str],
    ) -> None:
        self.registration = registration
        self.owns = owns
        self.joined = joined
        self.aliased = aliased
        self.with_devices = with_devices
        self._room_id_of = room_id_of
        self._named: Lru[int, bool] = Lru("appservice_rooms", MAX_ROOMS_REMEMBERED)
        self._names_rooms = bool(registration.rooms)
        self._by_kind: dict[Kind, Callable[[Seen, RoomsOf | None], bool]] = {Kind.EVENT: self._event, Kind.ROOM: _room}
        if registration.wants_ephemeral:
            self._by_kind |= {
                Kind.TYPING: self._of_room,
                Kind.RECEIPT: self._receipt,
                Kind.PRESENCE: self._of_neighbour,
                Kind.TO_DEVICE: self._of_user,
            }
        if registration.wants_encryption:
            self._by_kind |= {Kind.DEVICE_LIST: self._device_list, Kind.KEY_COUNTS: self._of_user}

    def may_concern(self, seen: Seen) -> bool:
        """False if the entry neither concerns the service nor changes what does. Quick, and asked of every entry."""
        if seen.kind is Kind.CACHE:
            return bool(self.registration.aliases) and seen.aliases is not None
        if seen.kind is Kind.ROOM:
            return seen.user_id is None or self.owns(seen.user_id)
        judge = self._by_kind.get(seen.kind)
        return judge is not None and judge(seen, None)

    def concerns(self, seen: Seen, rooms_of: RoomsOf) -> bool:
        """Is the service told of the entry? `rooms_of` knows the users of presence and of device lists."""
        judge = self._by_kind.get(seen.kind)
        if judge is None or not judge(seen, rooms_of):
            return False
        return seen.kind is not Kind.ROOM or (seen.user_id is not None and self.owns(seen.user_id))

    def is_in(self, room_nid: int | None) -> bool:
        """Is the room of interest? Of one whose id is not in memory perhaps, where ids matter."""
        if room_nid is None:
            return False
        return room_nid in self.joined or room_nid in self.aliased or (self._names_rooms and self._is_named(room_nid))

    def needs_room_id(self, room_nid: int) -> bool:
        """Must the room's id be loaded before the room can be judged?"""
        return self._names_rooms and self._room_id_of(room_nid) is None and self._named.get(room_nid) is None

    def fold(self, seen: Seen) -> int | None:
        """Takes up what the entry changes; gives the room whose members are to be loaded anew, as of its position."""
        if seen.kind is Kind.EVENT:
            if seen.membership is not None and seen.user_id is not None and seen.room_nid is not None:
                self._set(seen.room_nid, seen.user_id, seen.membership)
        elif seen.kind is Kind.ROOM and seen.user_id is None and seen.room_nid is not None:
            return self._fold_resolved(seen.room_nid, seen.body)
        elif (change := seen.aliases) is not None:
            self.aliased.apply(change)
        elif seen.kind in _OF_DEVICES and seen.user_id is not None and self.owns(seen.user_id):
            self.with_devices.add(seen.user_id)
        return None

    def nearing(self, seen: Seen, was_in: bool) -> Seen | None:
        """Whom the folded entry, beside who moved by it, has brought near the service or away from it, if anybody.

        All of a room in which the service now has its first user, or no user any more; those whose memberships a state
        resolution has made. As an entry, which the transaction's device lists are made of.
        """
        room_nid = seen.room_nid
        if not self.registration.wants_encryption or room_nid is None:
            return None
        is_in = self.is_in(room_nid)
        members = None
        if seen.kind is Kind.ROOM and seen.user_id is None and was_in and is_in and isinstance(seen.body, dict):
            members = list(seen.body.get("memberships") or ()) or None
        elif was_in == is_in:
            return None
        return Seen(seen.position, Kind.DEVICE_LIST, room_nid, body={NEARING: members})

    def _fold_resolved(self, room_nid: int, body: Any) -> int | None:
        """A state resolution: it says whose memberships it has made, unless they are very many."""
        memberships = body.get("memberships") if isinstance(body, dict) else None
        if memberships is None:
            return room_nid
        for user_id, (membership, _) in memberships.items():
            self._set(room_nid, user_id, membership)
        return None

    def _set(self, room_nid: int, user_id: str, membership: str) -> None:
        if membership == "join":
            if self.owns(user_id):
                self.joined.setdefault(room_nid, set()).add(user_id)
        elif (users := self.joined.get(room_nid)) is not None:
            users.discard(user_id)
            if not users:
                del self.joined[room_nid]

    def _is_named(self, room_nid: int) -> bool:
        named = self._named.get(room_nid)
        if named is None:
            room_id = self._room_id_of(room_nid)
            if room_id is None:
                return True
            named = self.registration.owns_room_id(room_id)
            self._named.set(room_nid, named)
        return named

    def _event(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        if self.is_in(seen.room_nid) or self.owns(seen.sender):
            return True
        return seen.user_id is not None and self.owns(seen.user_id)

    def _of_room(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        return self.is_in(seen.room_nid)

    def _receipt(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        # "Private read receipts MUST only be sent for users matching one of the application service's namespaces."
        is_private = seen.body["type"] == "m.read.private"
        return self.is_in(seen.room_nid) and (not is_private or self.owns(seen.user_id or ""))

    def _of_user(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        return self.owns(seen.user_id or "")

    def _of_neighbour(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        """One of its users, or somebody who is in a room with them."""
        return rooms_of is None or self.is_near(seen.user_id or "", rooms_of)

    def _device_list(self, seen: Seen, rooms_of: RoomsOf | None) -> bool:
        # Whose keys a user has signed, only that user may hear.
        return self.owns(seen.user_id or "") if "signed" in seen.body else self._of_neighbour(seen, rooms_of)

    def is_near(self, user_id: str, rooms_of: RoomsOf) -> bool:
        """Does the service speak for the user, or is the user in a room of interest?"""
        return self.owns(user_id) or any(self.is_in(room_nid) for room_nid in rooms_of.get(user_id, ()))


def _room(seen: Seen, rooms_of: RoomsOf | None) -> bool:
    """An invite, or what became of it, of a room that this server is not in."""
    return isinstance(seen.body, dict) and "event_nid" in seen.body
