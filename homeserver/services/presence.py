"""Presence: online while a client syncs, unavailable after a while without activity, offline after the last sync.

Every process holds what the stream told. A change is committed only when the state or the message changes, or when
`last_active_ago` would be off by minutes; a sync that keeps its user online costs nothing.

Source: client-server API, "Presence".
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from attrs import define, field

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from matrix.errors import Forbidden
from matrix.ids import UserId
from storage import presence
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.presence import PresenceRow

# Without a sync for this long a user is offline; without activity for this long unavailable. As Synapse's.
OFFLINE_AFTER_S = 30.0
IDLE_AFTER_MS = 5 * 60_000
# "Currently active" says: within the last minute.
ACTIVE_WITHIN_MS = 60_000
# last_active_ago is told anew when it would be off by this.
ACTIVE_GRANULARITY_MS = 60_000
LOOK_EVERY_S = 10.0


SharingARoom = Callable[[UserId], Awaitable[Collection[str]]]


@define
class _Present:
    """A user who syncs through this process: when, of the monotonic clock, and what each device wishes."""

    last_sync_s: float
    wishes: dict[str, tuple[str, float]] = field(factory=dict)

    def wish(self, now_s: float) -> str:
        """Of several devices the one with most life in it is seen, as in Synapse."""
        self.wishes = {
            device: (wish, at) for device, (wish, at) in self.wishes.items() if now_s - at <= OFFLINE_AFTER_S
        }
        return "online" if any(wish == "online" for wish, _ in self.wishes.values()) else "unavailable"


class Presence:
    def __init__(
        self,
        *,
        database: Database,
        committer: Committer,
        clock: Clock,
        tasks: Tasks,
        enabled: bool,
        sharing_a_room: SharingARoom,
        is_local: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._tasks = tasks
        self._enabled = enabled
        self._sharing_a_room = sharing_a_room
        self._is_local = is_local
        self._known: dict[str, PresenceRow] = {}
        self._syncing: dict[str, _Present] = {}

    async def load(self) -> None:
        """Reads what is known of those who are not offline; and looks after ours of them from now on."""
        self._known = await self._database.read(presence.find_not_offline)
        if self._enabled:
            ours = [user_id for user_id in self._known if self._is_local(UserId(user_id).domain)]
            self._syncing.update((user_id, _Present(self._clock.seconds())) for user_id in ours)
            self._tasks.repeat("presence.look", LOOK_EVERY_S, self._look)

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.PRESENCE and entry.user_id is not None:
                self._known[entry.user_id] = PresenceRow(**entry.body)

    async def synced(self, user_id: UserId, device: str, wish: str) -> None:
        """A device of the user syncs and wants them to be shown so.

        Comes back when that is in the stream, so that the answer to this sync tells it and does not wake the next.
        """
        if not self._enabled or wish == "offline":
            return
        now_s = self._clock.seconds()
        present = self._syncing.setdefault(user_id, _Present(now_s))
        present.last_sync_s = now_s
        present.wishes[device] = (wish, now_s)
        wish, row = present.wish(now_s), self._known.get(user_id)
        if row is None or row.presence != wish:
            await self._come(user_id, wish)

    def was_active(self, user_id: UserId) -> None:
        """The user did something: sent an event, read one."""
        row = self._known.get(user_id)
        if not self._enabled or row is None:
            return
        if row.presence != "online" or self._clock.now_ms() - row.last_active_ms > ACTIVE_GRANULARITY_MS:
            self._tasks.background("presence.active", self._put(user_id, "online", row.status_msg, active=True))

    async def put(self, user_id: UserId, state: str, status_msg: str | None) -> None:
        """The user says it."""
        if self._enabled:
            await self._put(user_id, state, status_msg, active=state == "online")

    async def get(self, reader: UserId, user_id: UserId) -> dict[str, Any]:
        """Who was never seen is offline. Raises: Forbidden if they share no room."""
        if reader != user_id and user_id not in await self._sharing_a_room(reader):
            raise Forbidden("You are not allowed to see their presence.")
        row = await self._row(user_id)
        return {"presence": "offline"} if row is None else self._content(row)

    async def events(self, user_ids: set[str]) -> Sequence[dict[str, Any]]:
        """The m.presence events of those who are not offline, or whose going offline this process has heard of."""
        known = [(user_id, self._known[user_id]) for user_id in user_ids if user_id in self._known]
        return [{"type": "m.presence", "sender": user_id, "content": self._content(row)} for user_id, row in known]

    async def _row(self, user_id: UserId) -> PresenceRow | None:
        return self._known.get(user_id) or await self._database.read(presence.find, user_id)

    def _content(self, row: PresenceRow) -> dict[str, Any]:
        content: dict[str, Any] = {"presence": row.presence}
        ago = max(0, self._clock.now_ms() - row.last_active_ms)
        if row.last_active_ms:
            content["last_active_ago"] = ago
        if row.status_msg is not None:
            content["status_msg"] = row.status_msg
        if row.presence == "online":
            content["currently_active"] = ago < ACTIVE_WITHIN_MS
        return content

    async def _come(self, user_id: UserId, wish: str) -> None:
        row = await self._row(user_id)
        await self._put(user_id, wish, None if row is None else row.status_msg, active=wish == "online")

    async def _put(self, user_id: str, state: str, status_msg: str | None, *, active: bool) -> None:
        known = self._known.get(user_id)
        last_active_ms = self._clock.now_ms() if active else 0 if known is None else known.last_active_ms
        row = PresenceRow(state, status_msg, last_active_ms)
        if known is not None and known.is_about(row, ACTIVE_GRANULARITY_MS):
            return
        # At once, so that the next request does not commit it again.
        self._known[user_id] = row
        change = Change()
        at = change.announce(Entry(Kind.PRESENCE, None, user_id, row.body()))
        change.put(presence.PUT, (user_id, state, status_msg, last_active_ms, at))
        await self._committer(change)

    async def _look(self) -> None:
        """Who has gone, and who sits idle?"""
        now_s, now_ms = self._clock.seconds(), self._clock.now_ms()
        for user_id, present in list(self._syncing.items()):
            row = self._known.get(user_id)
            if row is None or row.presence == "offline":
                if now_s - present.last_sync_s > OFFLINE_AFTER_S:
                    del self._syncing[user_id]
            elif now_s - present.last_sync_s > OFFLINE_AFTER_S:
                del self._syncing[user_id]
                await self._put(user_id, "offline", row.status_msg, active=False)
            elif row.presence == "online" and now_ms - row.last_active_ms > IDLE_AFTER_MS:
                await self._put(user_id, "unavailable", row.status_msg, active=False)
