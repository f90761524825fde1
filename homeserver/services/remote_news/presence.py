"""m.presence: who of another server's users is there. Source: server-server API, "Presence"."""

from collections.abc import Iterable, Iterator
from typing import Any

from homeserver.runtime.clock import Clock
from homeserver.services.remote_news.rooms import user_of
from matrix.errors import BadRequest
from matrix.events import Json
from matrix.ids import ServerName, UserId
from storage import presence
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.presence import PresenceRow
from storage.room_servers import joined_anywhere

# Of one EDU. Synapse sends those of up to 50 users.
MAX_USERS = 500
MAX_STATUS_BYTES = 4_096
STATES = ("online", "unavailable", "offline")
# Told anew when `last_active_ago` would be off by this.
GRANULARITY_MS = 60_000
# A server that has not said for so long that a user is there has forgotten us, or is gone. As Synapse's.
SILENT_S = 30 * 60.0
_MAX_AGO = 2**53 - 1


class RemotePresence:
    def __init__(self, *, database: Database, committer: Committer, clock: Clock, enabled: bool) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._enabled = enabled
        # Those who are there, oldest word first: until when it counts.
        self._until: dict[UserId, float] = {}

    async def receive(self, origin: ServerName, content: Json) -> None:
        """Of users whom we know in some room. Raises: BadRequest."""
        push = content.get("push")
        if not isinstance(push, list) or len(push) > MAX_USERS:
            raise BadRequest(f"m.presence needs push, of at most {MAX_USERS} users")
        if not self._enabled:
            return
        told = dict(_read(origin, push, self._clock.now_ms()))
        known = await self._database.read(joined_anywhere, [str(user_id) for user_id in told]) if told else ()
        await self._put({user_id: row for user_id, row in told.items() if user_id in known})

    async def forget_silent(self) -> None:
        """Those of whom nobody has said for long that they are there are not. Called every minute."""
        now_s, gone = self._clock.seconds(), []
        for user_id, until in self._until.items():
            if until > now_s:
                break
            gone.append(user_id)
        rows = await self._database.read(presence.find_many, [str(user_id) for user_id in gone]) if gone else {}
        await self._put(
            {UserId(name): PresenceRow("offline", row.status_msg, row.last_active_ms) for name, row in rows.items()}
        )
        for user_id in gone:
            self._until.pop(user_id, None)

    async def _put(self, told: dict[UserId, PresenceRow]) -> None:
        if not told:
            return
        self._note(told.items())
        before = await self._database.read(presence.find_many, [str(user_id) for user_id in told])
        change = Change()
        for user_id, row in told.items():
            known = before.get(user_id)
            if known is None or not known.is_about(row, GRANULARITY_MS):
                at = change.announce(Entry(Kind.PRESENCE, None, user_id, row.body()))
                change.put(presence.PUT, (user_id, row.presence, row.status_msg, row.last_active_ms, at))
        if change.entries:
            await self._committer(change)

    def _note(self, told: Iterable[tuple[UserId, PresenceRow]]) -> None:
        until = self._clock.seconds() + SILENT_S
        for user_id, row in told:
            self._until.pop(user_id, None)
            if row.presence != "offline":
                self._until[user_id] = until


def _read(origin: ServerName, push: list[Any], now_ms: int) -> Iterator[tuple[UserId, PresenceRow]]:
    """What is well-formed, of users of the server."""
    for one in push:
        if not isinstance(one, dict) or one.get("presence") not in STATES:
            continue
        user_id, status_msg, ago = (
            user_of(origin, one.get("user_id")),
            one.get("status_msg"),
            one.get("last_active_ago"),
        )
        if user_id is None or not _is_status(status_msg):
            continue
        # What would lie before 1970 says that it is not known.
        is_known = type(ago) is int and 0 <= ago < min(now_ms, _MAX_AGO)
        yield user_id, PresenceRow(one["presence"], status_msg, now_ms - ago if is_known and ago is not None else 0)


def _is_status(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, str) and "\x00" not in value and len(value.encode("utf-8", "replace")) <= MAX_STATUS_BYTES
