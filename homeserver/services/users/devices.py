"""Devices: listing, naming and deleting them, which ends their sessions.

Source: client-server API, "Device Management".
"""

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from homeserver.services.users import invalidation
from homeserver.services.users.last_seen import LastSeen
from homeserver.services.users.sessions import Sessions, revoke_device
from homeserver.web.call import Requester
from matrix.errors import NotFound
from matrix.ids import DeviceId, UserId
from storage import device_lists
from storage import devices as rows
from storage import sessions as session_rows
from storage.change import Change
from storage.commit import Committer
from storage.database import Database
from storage.devices import Device

# Adds to the change what else goes with deleted devices: keys, messages, pushers.
WithDevices = Callable[[Change, str, Iterable[str]], None]


class Devices:
    """`removals` are called for each deletion, before it is committed."""

    def __init__(
        self,
        *,
        db: Database,
        commit: Committer,
        sessions: Sessions,
        last_seen: LastSeen,
        removals: Sequence[WithDevices] = (),
    ) -> None:
        self._db = db
        self._commit = commit
        self._sessions = sessions
        self._last_seen = last_seen
        self._removals = removals

    async def list_of(self, user_id: UserId) -> list[Device]:
        """All devices of a user, the oldest first."""
        pending = self._last_seen.pending(user_id)
        devices = await self._db.read(rows.list_devices, user_id)
        return [_seen(device, pending) for device in devices]

    async def get(self, user_id: UserId, device_id: DeviceId) -> Device:
        """Raises: NotFound."""
        device = await self._db.read(rows.find_device, user_id, device_id)
        if device is None:
            raise NotFound("No such device")
        return _seen(device, self._last_seen.pending(user_id))

    async def rename(self, user_id: UserId, device_id: DeviceId, display_name: str) -> None:
        """Raises: NotFound."""
        await self.get(user_id, device_id)
        change = Change().put(rows.SET_NAME, (user_id, device_id, display_name))
        device_lists.record(change, user_id, {"device_id": device_id})
        await self._commit(change)

    async def create(self, user_id: UserId, device_id: DeviceId, display_name: str | None, now_ms: int) -> bool:
        """Makes a device without a session, for an application service. False if it was there: then it is renamed."""
        known = await self._db.read(rows.find_device, user_id, device_id)
        if known is not None:
            if display_name is not None:
                await self.rename(user_id, device_id, display_name)
            return False
        change = Change().put(rows.ADD, (user_id, device_id, display_name, now_ms))
        device_lists.record(change, user_id, {"device_id": device_id})
        await self._commit(change)
        return True

    async def delete(self, user_id: UserId, device_ids: Sequence[str]) -> None:
        """Deletes those of the devices that exist, with their sessions."""
        known = set(await self._db.read(rows.device_ids, user_id))
        change = Change()
        self.remove(change, user_id, [device_id for device_id in dict.fromkeys(device_ids) if device_id in known])
        await self._finish(user_id, change)

    async def delete_all(self, user_id: UserId, *, but: Requester | None = None) -> None:
        """Ends all sessions of a user, those without a device too, but the requester's own."""
        change = Change()
        await self.remove_all(change, user_id, but=but)
        await self._finish(user_id, change)

    async def log_out(self, requester: Requester) -> None:
        """Ends the session that makes the request, and deletes its device."""
        if requester.device_id is None:
            await self._sessions.end_token(requester)
        else:
            await self.delete(requester.user_id, [requester.device_id])

    async def delete_stale(self, before_ms: int) -> int:
        """Deletes devices that were last seen before that time; gives how many, 0 when all are done."""
        stale = await self._db.read(rows.find_stale, before_ms)
        for user_id, device_ids in stale.items():
            await self.delete(UserId(user_id), device_ids)
        return sum(map(len, stale.values()))

    def remove(self, change: Change, user_id: UserId, device_ids: Sequence[str]) -> None:
        """Adds the deletion of devices to a change. After the commit call `Sessions.forget`."""
        if not device_ids:
            return
        revoke_device(change, user_id, device_ids)
        for device_id in device_ids:
            change.put(rows.DELETE, (user_id, device_id))
            device_lists.record(change, user_id, {"device_id": device_id, "deleted": True})
        for removal in self._removals:
            removal(change, user_id, device_ids)
        invalidation.announce(change, user_id)

    async def remove_all(self, change: Change, user_id: UserId, *, but: Requester | None = None) -> None:
        """`delete_all` as a part of a change."""
        kept = None if but is None else but.device_id
        found = await self._db.read(rows.device_ids, user_id)
        self.remove(change, user_id, [device_id for device_id in found if device_id != kept])
        change.put(session_rows.DELETE_DEVICELESS, (user_id, None if but is None else but.token_id))
        change.put(session_rows.DELETE_LOGIN_TOKENS, (user_id,))
        invalidation.announce(change, user_id)

    async def _finish(self, user_id: UserId, change: Change) -> None:
        if change.rows:
            await self._commit(change)
            self._sessions.forget(user_id)


def _seen(device: Device, pending: dict[str, rows.Sighting]) -> Device:
    """The device as it was last seen, be it written yet or not."""
    sighting = pending.get(device.device_id)
    if sighting is None:
        return device
    return evolve(
        device,
        last_seen_ms=sighting.seen_ms,
        last_seen_ip=sighting.ip,
        last_seen_user_agent=sighting.user_agent,
    )
