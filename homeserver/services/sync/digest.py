"""What a part of the stream is about, found by one look at its entries and shared by all who sync over that part.

When an event wakes two hundred clients, they all ask about the same few entries: each then knows at once which of its
rooms and which sources concern it, and asks no other.
"""

from collections.abc import Set as AbstractSet

from attrs import field, frozen

from homeserver.runtime.caches import Lru
from storage.change import Entry, Kind
from storage.stream import Stream

# A longer part is looked at room by room.
MAX_ENTRIES = 500
MAX_DIGESTS = 200
# Entries that concern everyone who shares a room with the user they name.
FOR_SHARERS: AbstractSet[Kind] = frozenset((Kind.PRESENCE, Kind.DEVICE_LIST, Kind.PROFILE))


def may_move(entry: Entry) -> bool:
    """May somebody's membership of a room be another from here on? Member events name their user."""
    if entry.kind is Kind.EVENT:
        return entry.user_id is not None
    return entry.kind is Kind.ROOM and entry.user_id is None


@frozen
class Digest:
    """`kinds_by_user` are of the entries that name a user; `users_by_kind` of those that concern sharers."""

    rooms: set[int] = field(factory=set)
    kinds_by_user: dict[str, set[Kind]] = field(factory=dict)
    users_by_kind: dict[Kind, set[str]] = field(factory=dict)
    rooms_with_moves: set[int] = field(factory=set)  # in which somebody's membership changed

    def concerns(self, user_id: str, rooms: AbstractSet[int]) -> bool:
        """May there be anything for this user? If not, there is nothing for sure."""
        return user_id in self.kinds_by_user or bool(self.users_by_kind) or not self.rooms.isdisjoint(rooms)

    def names(self, user_id: str, kind: Kind) -> bool:
        return kind in self.kinds_by_user.get(user_id, ())


class Digests:
    def __init__(self, *, stream: Stream) -> None:
        self._stream = stream
        self._digests: Lru[tuple[int, int], Digest] = Lru("stream_digests", MAX_DIGESTS)

    def of(self, since: int, upto: int) -> Digest | None:
        """None if the part is not in memory, or long."""
        if since < self._stream.floor or upto - since > MAX_ENTRIES:
            return None
        digest = self._digests.get((since, upto))
        if digest is None:
            digest = self._make(since, upto)
            self._digests.set((since, upto), digest)
        return digest

    def _make(self, since: int, upto: int) -> Digest:
        digest = Digest()
        for entry in self._stream.entries(since, upto):
            if entry.room_nid is not None:
                digest.rooms.add(entry.room_nid)
                if may_move(entry):
                    digest.rooms_with_moves.add(entry.room_nid)
            if entry.user_id is not None:
                digest.kinds_by_user.setdefault(entry.user_id, set()).add(entry.kind)
                if entry.kind in FOR_SHARERS:
                    digest.users_by_kind.setdefault(entry.kind, set()).add(entry.user_id)
        return digest
