"""Joins that membership of another room allows.

Source: client-server API, "Restricted rooms"; room version 8.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.members import Members
from matrix.auth_needs import CREATE, JOIN_RULES, POWER_LEVELS
from matrix.errors import Forbidden
from matrix.ids import RoomId, ServerName, UserId
from matrix.power_levels import PowerLevels
from matrix.room_versions import RoomVersion

IsLocal = Callable[[str], bool]

# More conditions than this are not looked at.
MAX_ALLOWED = 100
# So many servers are named that may let a user in.
MAX_SERVERS = 10


class CannotGrant(Forbidden):
    """The user may join, but nobody of this server may say so. Those of `servers` may, best first."""

    def __init__(self, servers: Sequence[ServerName]) -> None:
        super().__init__("No user of this server may invite to the room", "M_UNABLE_TO_GRANT_JOIN")
        self.servers = servers


def is_restricted(version: RoomVersion, join_rule: str) -> bool:
    if join_rule == "knock_restricted":
        return version.knock_restricted_joins
    return join_rule == "restricted" and version.restricted_joins


def allowed_rooms(content: Mapping[str, Any]) -> list[RoomId]:
    """The rooms whose members the content of m.room.join_rules admits."""
    allow = content.get("allow")
    found = []
    for condition in allow[:MAX_ALLOWED] if isinstance(allow, list) else ():
        if isinstance(condition, dict) and condition.get("type") == "m.room_membership":
            room_id = condition.get("room_id")
            if isinstance(room_id, str) and "\x00" not in room_id:
                found.append(RoomId(room_id))
    return found


class RestrictedJoins:
    """`is_local` is asked of server names."""

    def __init__(self, *, heads: Heads, members: Members, is_local: IsLocal) -> None:
        self._heads = heads
        self._members = members
        self._is_local = is_local

    async def authorising_user(self, head: Head, user_id: UserId) -> UserId | None:
        """Whose invite a join stands on that neither an invite nor the room's openness allows; None if it needs none.

        Raises: Forbidden if the user is in none of the rooms that would do; CannotGrant if nobody of ours may invite.
        """
        state = await self._heads.state_events(head, [JOIN_RULES, CREATE, POWER_LEVELS])
        rules = state.get(JOIN_RULES)
        if rules is None or not is_restricted(head.version, rules.event.content.get("join_rule", "")):
            return None
        if not await self.is_in_any(user_id, allowed_rooms(rules.event.content)):
            raise Forbidden("You do not belong to any of the required rooms/spaces to join this room.")
        levels_event = state.get(POWER_LEVELS)
        levels = PowerLevels.of(head.version, state[CREATE].event, levels_event.event if levels_event else None)
        joined = await self._members.joined(head.room_nid)
        inviters = [user for user in joined if levels.of_user(user) >= levels.invite]
        inviters.sort(key=levels.of_user, reverse=True)
        for inviter in inviters:
            if self._is_local(inviter.domain):
                return inviter
        raise CannotGrant(list(dict.fromkeys(user.domain for user in inviters))[:MAX_SERVERS])

    async def is_in_any(self, user_id: UserId, room_ids: Iterable[RoomId]) -> bool:
        """Is the user joined to one of the rooms? Of a room that we have left we do not know who is in it."""
        wanted = set(room_ids)
        if not wanted:
            return False
        rows = await self._heads.rooms(await self._members.joined_rooms(user_id))
        for row in rows.values():
            if row.room_id in wanted:
                joined = await self._members.joined(row.room_nid)
                if any(self._is_local(user.domain) for user in joined):
                    return True
        return False
