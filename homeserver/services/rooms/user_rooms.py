"""A user's rooms as a whole: which they are, forgetting one, and what concerns all of them at once."""

import logging
from collections.abc import Awaitable, Callable, Iterable

from twisted.internet.defer import DeferredSemaphore

from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.membership import Membership
from homeserver.web.call import Requester
from matrix.errors import BadRequest, MatrixError
from matrix.ids import RoomId, UserId
from storage import memberships
from storage.change import Change, Entry, Kind
from storage.commit import Committer

logger = logging.getLogger(__name__)

# Of one user's rooms so many are changed at a time: they share commits, and leave room for others.
AT_ONCE = 10
_LEFT = frozenset(("leave", "ban"))


class UserRooms:
    def __init__(
        self, *, heads: Heads, members: Members, membership: Membership, committer: Committer, tasks: Tasks
    ) -> None:
        self._heads = heads
        self._members = members
        self._membership = membership
        self._committer = committer
        self._tasks = tasks

    async def joined(self, user_id: UserId) -> list[RoomId]:
        rows = await self._heads.rooms(await self._members.joined_rooms(user_id))
        return [row.room_id for row in rows.values()]

    async def forget(self, user_id: UserId, room_id: RoomId) -> None:
        """The user's clients are not shown the room any more. Raises: BadRequest if they have not left."""
        room = await self._heads.find_room(room_id)
        own = None if room is None else (await self._members.rooms_of(user_id)).get(room.room_nid)
        if room is None or own is None:
            return
        if own.membership not in _LEFT:
            raise BadRequest(f"User {user_id} in room {room_id}", "M_UNKNOWN")
        change = Change()
        change.put(memberships.FORGET, (room.room_nid, user_id))
        change.announce(Entry(Kind.ROOM, room.room_nid, user_id, body={"forgotten": True}))
        await self._committer(change)

    async def update_profile(self, user_id: UserId) -> None:
        """Says in the background, in all rooms that the user is joined to, how they are called now."""
        self._tasks.background("rooms.update_profile", self._update_profile(user_id))

    async def _update_profile(self, user_id: UserId) -> None:
        await self._everywhere(
            await self.joined(user_id),
            lambda room_id: self._membership.join(Requester(user_id), room_id, limited=False),
        )

    async def leave_all(self, user_id: UserId) -> None:
        """Leaves all rooms, rejects all invites and takes back all knocks; returns when that is done.

        A room that does not let the user go is left alone: leaving it again would not help.
        """
        own = await self._members.rooms_of(user_id)
        rows = await self._heads.rooms(nid for nid, row in own.items() if row.membership not in _LEFT)
        await self._everywhere(
            [row.room_id for row in rows.values()],
            lambda room_id: self._membership.leave(Requester(user_id), room_id, limited=False),
        )

    async def _everywhere(self, room_ids: Iterable[RoomId], act: Callable[[RoomId], Awaitable[object]]) -> None:
        turns = DeferredSemaphore(AT_ONCE)
        for room_id in room_ids:
            await turns.acquire()
            self._tasks.background("rooms.of_user", self._once(turns, act, room_id))
        for _ in range(AT_ONCE):
            await turns.acquire()

    async def _once(
        self, turns: DeferredSemaphore, act: Callable[[RoomId], Awaitable[object]], room_id: RoomId
    ) -> None:
        try:
            await act(room_id)
        except MatrixError as error:
            logger.warning("%s was left as it is: %s", room_id, error)
        finally:
            turns.release()
