"""The summary of a room: how many are in it, and who stands for its name while it has none.

Source: client-server API, GET /sync, "Room Summary"; "Calculating the display name for a room".
"""

from typing import Any

from homeserver.services.rooms.heads import Head
from homeserver.services.rooms.members import Members
from matrix.ids import UserId

# "The first 5": GET /sync, `m.heroes`.
MAX_HEROES = 5


class Summaries:
    def __init__(self, *, members: Members) -> None:
        self._members = members

    async def of(self, head: Head, reader: UserId) -> dict[str, Any]:
        """m.joined_member_count, m.invited_member_count, and m.heroes if the room has no name."""
        members = await self._members.members_of(head.room_nid)
        joined = sum(1 for membership in members.values() if membership == "join")
        invited = sum(1 for membership in members.values() if membership == "invite")
        summary: dict[str, Any] = {"m.joined_member_count": joined, "m.invited_member_count": invited}
        if not self._has_name(head):
            summary["m.heroes"] = self._heroes(head, members, reader)
        return summary

    @staticmethod
    def _has_name(head: Head) -> bool:
        return ("m.room.name", "") in head.state or ("m.room.canonical_alias", "") in head.state

    @staticmethod
    def _heroes(head: Head, members: dict[UserId, str], reader: UserId) -> list[UserId]:
        """The first to come of those who are there or invited, else of those who left; the reader is none of them."""
        present = [user for user, membership in members.items() if membership in ("join", "invite") and user != reader]
        if not present:
            present = [
                UserId(state_key)
                for event_type, state_key in head.state
                if event_type == "m.room.member" and state_key != reader
            ]
        # Numbers of events grow with time: the earliest member events are the room's oldest members.
        present.sort(key=lambda user: head.state.get(("m.room.member", user), 0))
        return present[:MAX_HEROES]
