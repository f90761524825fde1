"""Dehydrated devices: they collect the messages that are sent while the user is logged in nowhere.

Source: MSC3814.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.keys import Keys
from homeserver.services.e2ee.seams import Commit
from matrix.errors import Forbidden, InvalidParam, NotFound, TooLarge
from matrix.ids import DeviceId, UserId
from storage import dehydrated_devices, device_keys, device_lists, devices, to_device
from storage.change import Change
from storage.database import Database
from storage.dehydrated_devices import DehydratedDevice
from storage.stream import Stream

# A pickled account: some kB.
MAX_DATA_BYTES = 65536
MAX_MESSAGES = 100

DeleteDevices = Callable[[UserId, Sequence[str]], Awaitable[None]]


@frozen
class Messages:
    """Ready JSON of each message. `upto`: ask for those after it; `limited`: there are more already."""

    texts: list[str]
    upto: int
    limited: bool


class DehydratedDevices:
    """`delete_devices` deletes devices of a user, with whatever belongs to them."""

    def __init__(
        self, *, database: Database, commit: Commit, stream: Stream, keys: Keys, delete_devices: DeleteDevices
    ) -> None:
        self._database = database
        self._commit = commit
        self._stream = stream
        self._keys = keys
        self._delete_devices = delete_devices
        self._changing = Linearizer()

    async def put(self, user_id: UserId, body: Mapping[str, Any], display_name: str | None, now_ms: int) -> str:
        """Makes a dehydrated device in the place of the one before; gives its id.

        `body` is that of /keys/upload, with `device_id` and `device_data`.
        Raises: BadRequest, TooLarge, BadIdentifier; InvalidParam if a device of that name is in use.
        """
        device_id = DeviceId.parse(body["device_id"])
        # Before the old device is gone.
        shapes.read_device_keys(body.get("device_keys"), user_id, device_id)
        for name in ("one_time_keys", "fallback_keys"):
            shapes.read_new_keys(body.get(name), name)
        data = orjson.dumps(body["device_data"])
        if len(data) > MAX_DATA_BYTES:
            raise TooLarge(f"device_data can have no more than {MAX_DATA_BYTES} bytes")
        async with self._changing.of(user_id):
            old = await self._database.read(dehydrated_devices.find_dehydrated_device, user_id)
            if old is not None:
                await self._delete_devices(user_id, [old.device_id])
            if await self._database.read(device_keys.device_ids_among, user_id, [device_id]):
                raise InvalidParam("There is a device of this name")
            change = Change().put(devices.ADD, (user_id, device_id, display_name, now_ms))
            change.put(dehydrated_devices.PUT, (user_id, device_id, data.decode()))
            device_lists.record(change, user_id, {"device_id": device_id})
            await self._commit(change)
            await self._keys.upload(user_id, device_id, body)
        return device_id

    async def get(self, user_id: UserId) -> DehydratedDevice:
        """Raises: NotFound."""
        device = await self._database.read(dehydrated_devices.find_dehydrated_device, user_id)
        if device is None:
            raise NotFound("No dehydrated device available")
        return device

    async def delete(self, user_id: UserId) -> str:
        """Gives the id of the one that is gone. Raises: NotFound."""
        async with self._changing.of(user_id):
            device = await self.get(user_id)
            await self._delete_devices(user_id, [device.device_id])
        return device.device_id

    async def messages(self, user_id: UserId, device_id: str, after: int, limit: int) -> Messages:
        """What was sent to the device. It stays until the device is deleted, so that rehydrating may be tried again.

        Raises: Forbidden unless it is the user's dehydrated device.
        """
        device = await self._database.read(dehydrated_devices.find_dehydrated_device, user_id)
        if device is None or device.device_id != device_id:
            raise Forbidden("You may only fetch messages for your dehydrated device")
        upto, limit = self._stream.position, max(1, min(limit, MAX_MESSAGES))
        found = await self._database.read(to_device.pending, user_id, device_id, upto, limit, after)
        limited = len(found) == limit
        return Messages([text for _, text in found], found[-1][0] if limited else max(upto, after), limited)
