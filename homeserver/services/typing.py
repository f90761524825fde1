"""Who is typing where: held in memory by every process, told by the stream.

A process answers for the time-outs of its own typists, and of those of other servers that it was told of. One that
ends takes its typists with it; the others forget them when their time is over.

Source: client-server API, "Typing Notifications"; server-server API, "Typing Notifications".
"""

from collections.abc import Sequence

from twisted.internet.interfaces import IDelayedCall

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.errors import Forbidden
from matrix.events import Event
from matrix.ids import RoomId, UserId
from storage.change import Change, Entry, Kind
from storage.commit import Committer

# A client that asks for longer has to say it again.
MAX_TIMEOUT_MS = 120_000
DEFAULT_TIMEOUT_MS = 30_000
# A user of another server types no longer when the server has not said so for this long. Synapse says it every 40 s.
REMOTE_TIMEOUT_S = 60.0


class Typing:
    def __init__(self, *, heads: Heads, members: Members, committer: Committer, clock: Clock, tasks: Tasks) -> None:
        self._heads = heads
        self._members = members
        self._committer = committer
        self._clock = clock
        self._tasks = tasks
        self._users: dict[int, list[str]] = {}
        self._timers: dict[tuple[int, str], IDelayedCall] = {}

    async def set(self, user_id: UserId, room_id: RoomId, *, typing: bool, timeout_ms: int) -> None:
        """Raises: NotFound, Forbidden."""
        room = await self._heads.room(room_id)
        if not await self._members.is_joined(user_id, room.room_nid):
            raise Forbidden(f"User {user_id} is not in room {room_id}")
        await self._set(room.room_nid, user_id, typing, min(timeout_ms, MAX_TIMEOUT_MS) / 1000)

    async def told(self, user_id: UserId, room_nid: int, *, typing: bool) -> None:
        """Another server says it of a user of its own. Not checked: that the user is in the room."""
        await self._set(room_nid, user_id, typing, REMOTE_TIMEOUT_S)

    async def _set(self, room_nid: int, user_id: UserId, typing: bool, seconds: float) -> None:
        self._stop_timer(room_nid, user_id)
        if typing:
            self._timers[(room_nid, user_id)] = self._clock.later(seconds, self._expire, room_nid, user_id)
        await self._tell(room_nid, user_id, typing)

    def users(self, room_nid: int) -> Sequence[str]:
        """Who types in the room now."""
        return self._users.get(room_nid, ())

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.room_nid is None:
                continue
            if entry.kind is Kind.TYPING:
                self._fold(entry.room_nid, entry.body["user_ids"])
            elif entry.kind is Kind.EVENT and entry.room_nid in self._users:
                self._happened(entry.room_nid, entry.body.event)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fold(self, room_nid: int, user_ids: list[str]) -> None:
        if user_ids:
            self._users[room_nid] = user_ids
        else:
            self._users.pop(room_nid, None)

    def _happened(self, room_nid: int, event: Event) -> None:
        """Who has left types no more. Who sends a message may type the next: their client says, as with Synapse."""
        if not event.is_state or event.membership in (None, "join"):
            return
        user_id = UserId(event.state_key or "")
        if (room_nid, user_id) in self._timers:
            self._stop_timer(room_nid, user_id)
            self._expire(room_nid, user_id)

    def _stop_timer(self, room_nid: int, user_id: str) -> None:
        timer = self._timers.pop((room_nid, user_id), None)
        if timer is not None and timer.active():
            timer.cancel()

    def _expire(self, room_nid: int, user_id: str) -> None:
        self._timers.pop((room_nid, user_id), None)
        self._tasks.background("typing.expire", self._tell(room_nid, user_id, typing=False))

    async def _tell(self, room_nid: int, user_id: str, typing: bool) -> None:
        """One at a time for each room: each tells the whole list, which stands on the one before."""
        async with self._heads.linearizer.of(("typing", room_nid)):
            now = self._users.get(room_nid, [])
            if (user_id in now) == typing:
                return
            users = [*now, user_id] if typing else [user for user in now if user != user_id]
            change = Change()
            change.announce(Entry(Kind.TYPING, room_nid, None, {"user_ids": users}))
            await self._committer(change)
