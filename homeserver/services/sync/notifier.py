"""Wakes the long-polls that the newest entries concern: those of the members of a room that moved, of a user, of who
shares a room with a user. A wake-up is a hint; whoever is woken looks for himself and may wait again.
"""

from collections import deque
from collections.abc import Collection

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.members import Members
from homeserver.services.sync.digest import FOR_SHARERS
from storage.change import Entry

# So many requests go on in one turn of the reactor: each costs some 100 us, and nobody may block it above 10 ms.
WAKE_AT_ONCE = 40


class Notifier:
    """`wait` gives a Deferred that fires with the next entry that may concern the user."""

    def __init__(self, *, members: Members, clock: Clock, tasks: Tasks) -> None:
        self._members = members
        self._clock = clock
        self._tasks = tasks
        self._waiting: dict[str, set[Deferred[None]]] = {}
        self._woken: deque[Deferred[None]] = deque()
        self.closed = False

    def wait(self, user_id: str) -> "Deferred[None]":
        """Fires once. Cancel it to wait no longer. After `close` it fires at once."""
        deferred: Deferred[None] = Deferred(lambda cancelled: self._forget(user_id, cancelled))
        if self.closed:
            deferred.callback(None)
        else:
            self._waiting.setdefault(user_id, set()).add(deferred)
        return deferred

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Everybody goes on: the server is going down, and long-polls are to be answered."""
        self.closed = True
        for user_id in list(self._waiting):
            self._wake(user_id)

    def read_stream(self, entries: list[Entry]) -> None:
        if not self._waiting:
            return
        rooms = {entry.room_nid for entry in entries if entry.room_nid is not None}
        for entry in entries:
            if entry.user_id is not None:
                self._wake(entry.user_id)
                if entry.kind in FOR_SHARERS:
                    self._tasks.background("notifier.sharers", self._wake_sharers(entry.user_id))
        for room_nid in rooms:
            members = self._members.known_members(room_nid)
            if members is None:
                self._tasks.background("notifier.members", self._wake_members(room_nid))
            else:
                self._wake_all(members)

    async def _wake_members(self, room_nid: int) -> None:
        self._wake_all(await self._members.members_of(room_nid))

    async def _wake_sharers(self, user_id: str) -> None:
        self._wake_all(await self._members.sharing_a_room(user_id))

    def _wake_all(self, users: Collection[str]) -> None:
        """`users`: a dict or a set. The cost is that of the fewer, of the users and of those who wait."""
        few, many = (users, self._waiting) if len(users) < len(self._waiting) else (self._waiting, users)
        for user_id in [user_id for user_id in few if user_id in many]:
            self._wake(user_id)

    def _wake(self, user_id: str) -> None:
        waiting = self._waiting.pop(user_id, None)
        if waiting is None:
            return
        if not self._woken:
            self._clock.later(0, self._go_on)
        self._woken.extend(waiting)

    def _go_on(self) -> None:
        for _ in range(min(WAKE_AT_ONCE, len(self._woken))):
            deferred = self._woken.popleft()
            if not deferred.called:
                deferred.callback(None)
        if self._woken:
            self._clock.later(0, self._go_on)

    def _forget(self, user_id: str, deferred: "Deferred[None]") -> None:
        waiting = self._waiting.get(user_id)
        if waiting is not None:
            waiting.discard(deferred)
            if not waiting:
                del self._waiting[user_id]
        deferred.errback(CancelledError())
