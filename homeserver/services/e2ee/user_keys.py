"""The published keys of local users, in memory: read by /keys/query, forgotten when the stream tells of a change."""

from collections.abc import Iterable

from homeserver.runtime.caches import Lru
from homeserver.runtime.metrics import Metrics
from storage.change import Entry, Kind
from storage.database import Database
from storage.device_keys import PublishedKeys, find_published_keys

# A user has some 5 kB of keys.
MAX_USERS = 10_000
# Assembled on a thread of the database; no query holds it for long.
USERS_AT_ONCE = 200


class UserKeys:
    """What users show of their keys. What is given is the cache itself: do not change it."""

    def __init__(self, *, database: Database, metrics: Metrics | None = None, max_users: int = MAX_USERS) -> None:
        self._database = database
        self._keys: Lru[str, PublishedKeys] = Lru("published_keys", max_users, metrics=metrics)

    async def of(self, user_ids: Iterable[str]) -> dict[str, PublishedKeys]:
        """The keys of each of the users, who may have none."""
        found: dict[str, PublishedKeys] = {}
        missing = []
        for user_id in dict.fromkeys(user_ids):
            keys = self._keys.get(user_id)
            if keys is None:
                missing.append(user_id)
            else:
                found[user_id] = keys
        for start in range(0, len(missing), USERS_AT_ONCE):
            found |= await self._load(missing[start : start + USERS_AT_ONCE])
        return found

    async def _load(self, user_ids: list[str]) -> dict[str, PublishedKeys]:
        version = self._keys.version
        loaded = await self._database.run(find_published_keys, user_ids)
        for user_id, keys in loaded.items():
            self._keys.set_if_unchanged(user_id, keys, version)
        return loaded

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.DEVICE_LIST and entry.user_id is not None:
                self._keys.invalidate(entry.user_id)
