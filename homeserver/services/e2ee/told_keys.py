"""Keys that application services hand out themselves, as far as others rely on them.

Nobody tells us when such keys change. But whoever asks for them hears of it, and so do we: what is told is compared
with what was told before, and a change goes the way of all changes of devices, to clients, services and other servers.

Source: MSC3984; server-server API, "Device Management".
"""

from collections.abc import Collection, Mapping

from attrs import evolve, frozen

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.seams import Commit
from storage import device_lists
from storage import told_keys as rows
from storage.change import Change
from storage.database import Database
from storage.remote_devices import RemoteKeys

MAX_USERS = 2_000
# Of one user. A service that tells something else whenever it is asked would be asked because of what it told, for
# ever: after so many changes the next waits for this long without any.
MAX_CHANGES, CHANGES_S = 20, 60.0
NOTHING = RemoteKeys()


@frozen
class Told:
    """`named`: the devices that were asked for; none: all."""

    named: Collection[str]
    keys: RemoteKeys


class ToldKeys:
    def __init__(self, *, database: Database, commit: Commit, clock: Clock) -> None:
        self._database = database
        self._commit = commit
        # What this process has heard last; what another has is found out when something differs.
        self._heard: Lru[str, RemoteKeys] = Lru("told_keys", MAX_USERS)
        self._changes: Lru[str, int] = Lru("told_keys_changes", MAX_USERS, clock, CHANGES_S)

    async def last(self, user_ids: Collection[str]) -> dict[str, RemoteKeys]:
        """Of those users of whom a service has told any keys."""
        return await self._database.read(rows.find, user_ids) if user_ids else {}

    async def hear(self, told: Mapping[str, Told]) -> None:
        """Announces what is another than before."""
        differing = {user_id: one for user_id, one in told.items() if self._is_other(user_id, one)}
        if not differing:
            return
        before = await self.last(list(differing))
        change = Change()
        now: dict[str, RemoteKeys] = {}
        for user_id, one in differing.items():
            was = before.get(user_id, NOTHING)
            now[user_id] = _with(was, one)
            if now[user_id] != was:
                self._changes.set(user_id, (self._changes.get(user_id) or 0) + 1)
                _announce(change, user_id, was, now[user_id])
                rows.put(change, user_id, now[user_id])
        if change.rows:
            await self._commit(change)
        for user_id, keys in now.items():
            self._heard.set(user_id, keys)

    def _is_other(self, user_id: str, told: Told) -> bool:
        """Than what this process knows."""
        heard = self._heard.get(user_id)
        is_other = heard is None or _with(heard, told) != heard
        return is_other and (self._changes.get(user_id) or 0) < MAX_CHANGES


def _with(before: RemoteKeys, told: Told) -> RemoteKeys:
    """What is known after that was told."""
    if not told.named:
        return told.keys
    kept = {device_id: keys for device_id, keys in before.devices.items() if device_id not in told.named}
    return evolve(told.keys, devices={**kept, **told.keys.devices})


def _announce(change: Change, user_id: str, was: RemoteKeys, now: RemoteKeys) -> None:
    for device_id in sorted({*was.devices, *now.devices}):
        if device_id not in now.devices:
            device_lists.record(change, user_id, {"device_id": device_id, "deleted": True})
        elif now.devices[device_id] != was.devices.get(device_id):
            device_lists.record(change, user_id, {"device_id": device_id})
    if (was.master, was.self_signing) != (now.master, now.self_signing):
        device_lists.record(change, user_id, {"cross_signing": True})
