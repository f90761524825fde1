"""What a user is to be told of now: unread events, invitations, and the number beside the app's icon."""

from collections.abc import Awaitable, Callable, Collection

from homeserver.services.push.due_invites import Due, DueInvites
from homeserver.services.push.unread import Unread
from homeserver.services.rooms.members import Members
from matrix.ids import UserId
from storage.events import Events

# After a long time away: nobody reads more.
MAX_DUE = 100


class DueEvents:
    """`by_room`: the number counts rooms with something unread, not messages."""

    def __init__(
        self,
        *,
        unread: Unread,
        members: Members,
        events: Events,
        invites: DueInvites,
        ignored: Callable[[UserId], Awaitable[Collection[str]]],
        by_room: bool = True,
    ) -> None:
        self._unread = unread
        self._members = members
        self._events = events
        self._invites = invites
        self._ignored = ignored
        self._by_room = by_room

    async def find(self, user_id: UserId, room_nids: Collection[int], since: int, upto: int) -> list[Due]:
        """What came in these rooms at positions in (since, upto] and is still unread, in order; the newest MAX_DUE."""
        rooms = await self._members.rooms_of(user_id)
        known = {nid: rooms[nid] for nid in room_nids if nid in rooms}
        joined = [nid for nid, row in known.items() if row.membership == "join"]
        invites = [row for row in known.values() if row.membership == "invite" and since < row.position <= upto]
        notices = [
            notice
            for of_room in (await self._unread.notices(user_id, joined)).values()
            for notice in reversed(of_room)
            if since < notice.position <= upto
        ]
        notices = sorted(notices, key=lambda notice: notice.position)[-MAX_DUE:]
        stored = await self._events.get(notice.nid for notice in notices)
        due = [Due(stored[one.nid], one.position, one.actions) for one in notices if one.nid in stored]
        due += await self._invites.find(user_id, invites)
        ignored = await self._ignored(user_id)
        return sorted(
            (one for one in due if one.stored.event.sender not in ignored and one.stored.redacted_by is None),
            key=lambda one: one.position,
        )

    async def badge(self, user_id: UserId) -> int:
        """Invitations, and rooms with unread events that the user wants to hear of (or these events)."""
        rooms = await self._members.rooms_of(user_id)
        joined = [nid for nid, row in rooms.items() if row.membership == "join"]
        invites = sum(1 for row in rooms.values() if row.membership == "invite")
        notices = await self._unread.notices(user_id, joined)
        return invites + sum(bool(of_room) if self._by_room else len(of_room) for of_room in notices.values())
