"""The user's devices.

Source: client-server API, "Device Management".
"""

from typing import Any

from homeserver.services.users.devices import Devices
from homeserver.services.users.login import MAX_DEVICE_NAME
from homeserver.services.users.ui_auth import PASSWORD_FLOWS, UiAuth
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, Body, client, route
from matrix.errors import BadRequest
from matrix.ids import DeviceId
from storage.devices import Device

MAX_DELETED_AT_ONCE = 10_000


class DevicesApi:
    def __init__(self, *, devices: Devices, ui_auth: UiAuth) -> None:
        self._devices = devices
        self._ui_auth = ui_auth

    @route("GET", *client("/devices"), access=Access.GUEST)
    async def list_devices(self, call: Call) -> Answer:
        return {"devices": [_device(device) for device in await self._devices.list_of(call.user.user_id)]}

    @route("GET", *client("/devices/{device_id}"), access=Access.GUEST)
    async def get_device(self, call: Call, device_id: DeviceId) -> Answer:
        return _device(await self._devices.get(call.user.user_id, device_id))

    @route("PUT", *client("/devices/{device_id}"), access=Access.GUEST)
    async def put_device(self, call: Call, device_id: DeviceId) -> Answer:
        user, name = call.user, call.json(empty_ok=True).optional_text("display_name")
        if name is not None and len(name) > MAX_DEVICE_NAME:
            raise BadRequest(f"Device display name is too long (max {MAX_DEVICE_NAME})", "M_TOO_LARGE")
        if user.appservice_id is not None:
            is_new = await self._devices.create(user.user_id, device_id, name, call.received_ms)
            return Reply(201 if is_new else 200, {})
        if name is None:
            await self._devices.get(user.user_id, device_id)
        else:
            await self._devices.rename(user.user_id, device_id, name)
        return {}

    @route("DELETE", *client("/devices/{device_id}"), body=Body.JSON)
    async def delete_device(self, call: Call, device_id: DeviceId) -> Answer:
        await self._prove(call)
        await self._devices.delete(call.user.user_id, [device_id])
        return {}

    @route("POST", *client("/delete_devices"))
    async def delete_devices(self, call: Call) -> Answer:
        device_ids = call.json().texts("devices", max_items=MAX_DELETED_AT_ONCE)
        await self._prove(call)
        await self._devices.delete(call.user.user_id, device_ids)
        return {}

    async def _prove(self, call: Call) -> None:
        # Since v1.17 application services need no user-interactive authentication here.
        if call.user.appservice_id is None:
            await self._ui_auth.require(call, PASSWORD_FLOWS, user_id=call.user.user_id, may_skip=True)


def _device(device: Device) -> dict[str, Any]:
    """The device, with null for what is not known, as Synapse has it: matrix-nio insists on these names."""
    return {
        "device_id": device.device_id,
        "user_id": device.user_id,
        "display_name": device.display_name,
        "last_seen_ts": device.last_seen_ms,
        "last_seen_ip": device.last_seen_ip,
    }
