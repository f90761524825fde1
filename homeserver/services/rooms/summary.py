"""The summary of a room: how many are in it, and who stands for its name while it has none.

Source: client-server API, GET /sync, "Room Summary"; "Calculating the display name for a room".
"""

from typing import Any

from attrs import frozen

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.members import Members
from matrix.ids import UserId

# What names a room, and the member of its content that is the name.
NAMES = (("m.room.name", "name"), ("m.room.canonical_alias", "alias"))
# "The first 5": GET /sync, `m.heroes`.
MAX_HEROES = 5
MAX_ROOMS = 5_000


@frozen
class _Counted:
    """As of a position of the room's head. `first`: the first to come of those who are there or invited."""

    after: int
    joined: int
    invited: int
    first: list[UserId]


class Summaries:
    def __init__(self, *, members: Members, heads: Heads) -> None:
        self._members = members
        self._heads = heads
        # When somebody joins, all who are in the room ask.
        self._counted: Lru[int, _Counted] = Lru("room_summaries", MAX_ROOMS)

    async def of(self, head: Head, reader: UserId) -> dict[str, Any]:
        """m.joined_member_count, m.invited_member_count, and m.heroes if the room has no name."""
        counted = await self._count(head)
        summary: dict[str, Any] = {
            "m.joined_member_count": counted.joined,
            "m.invited_member_count": counted.invited,
        }
        if not await self._has_name(head):
            summary["m.heroes"] = self._heroes(head, counted.first, reader)
        return summary

    async def _count(self, head: Head) -> _Counted:
        after = head.after if isinstance(head.after, int) else None
        counted = self._counted.get(head.room_nid)
        if counted is not None and counted.after == after:
            return counted
        members = await self._members.members_of(head.room_nid)
        joined = sum(1 for membership in members.values() if membership == "join")
        invited = sum(1 for membership in members.values() if membership == "invite")
        present = [user for user, membership in members.items() if membership in ("join", "invite")]
        # The reader may be one of them.
        counted = _Counted(after or 0, joined, invited, _earliest(head, present)[: MAX_HEROES + 1])
        # A head that was read from the database may be ahead of what the stream has told of the members.
        if after is not None and head.after == after <= self._members.position:
            self._counted.set(head.room_nid, counted)
        return counted

    async def _has_name(self, head: Head) -> bool:
        """Set, and not empty."""
        events = await self._heads.state_events(head, [(event_type, "") for event_type, _ in NAMES])
        contents = {event_type: stored.event.content for (event_type, _), stored in events.items()}
        return any(contents.get(event_type, {}).get(name) for event_type, name in NAMES)

    @staticmethod
    def _heroes(head: Head, first: list[UserId], reader: UserId) -> list[UserId]:
        """The first to come of those who are there or invited, else of those who left; the reader is none of them."""
        present = [user for user in first if user != reader]
        if not present:
            gone = [
                UserId(state_key)
                for event_type, state_key in head.state
                if event_type == "m.room.member" and state_key != reader
            ]
            present = _earliest(head, gone)
        return present[:MAX_HEROES]


def _earliest(head: Head, users: list[UserId]) -> list[UserId]:
    """Numbers of events grow with time: the earliest member events are the room's oldest members."""
    return sorted(users, key=lambda user: head.state.get(("m.room.member", user), 0))
