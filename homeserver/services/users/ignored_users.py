"""Whom a user ignores, from memory: sync, push and invites ask for it all the time.

Source: client-server API, "Ignoring Users".
"""

import orjson

from homeserver.runtime.caches import Lru
from storage import account_data as rows
from storage.change import Entry, Kind
from storage.database import Database

TYPE = "m.ignored_user_list"
MAX_CACHED = 50_000


class IgnoredUsers:
    """`hear` reads the stream."""

    def __init__(self, *, db: Database) -> None:
        self._db = db
        self._ignored: Lru[str, frozenset[str]] = Lru("ignored_users", MAX_CACHED)

    def hear(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.ACCOUNT_DATA and entry.user_id is not None and entry.body.get("type") == TYPE:
                self._ignored.invalidate(entry.user_id)

    async def of(self, user_id: str) -> frozenset[str]:
        """Those whom the user ignores; never the user."""
        known = self._ignored.get(user_id)
        if known is not None:
            return known
        version = self._ignored.version
        ignored = read_ignored(await self._db.read(rows.find, user_id, "", TYPE)) - {user_id}
        self._ignored.set_if_unchanged(user_id, ignored, version)
        return ignored


def read_ignored(content: str | None) -> frozenset[str]:
    """The users in an m.ignored_user_list, which a client may have written in any shape."""
    users = None if content is None else orjson.loads(content).get("ignored_users")
    return frozenset(users) if isinstance(users, dict) else frozenset()
