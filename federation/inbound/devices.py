"""Devices of our users, and their keys, for other servers.

Source: server-server API, "Device Management" and "End-to-End Encryption".
"""

from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.own_devices import OwnDevices
from homeserver.web.body import LARGE_JSON_BYTES
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import MissingParam
from matrix.ids import UserId

_V1 = "/_matrix/federation/v1/user"


class FederationDevicesApi:
    def __init__(self, *, devices: OwnDevices) -> None:
        self._devices = devices

    @route("GET", _V1 + "/devices/{user_id}", access=Access.SERVER)
    async def get_devices(self, call: Call, user_id: UserId) -> Answer:
        return await self._devices.list_of(user_id)

    @route("POST", _V1 + "/keys/query", access=Access.SERVER, max_body_bytes=LARGE_JSON_BYTES)
    async def query(self, call: Call) -> Answer:
        return await self._devices.query(shapes.read_query(_member(call.json(), "device_keys")))

    @route("POST", _V1 + "/keys/claim", access=Access.SERVER, max_body_bytes=LARGE_JSON_BYTES)
    async def claim(self, call: Call) -> Answer:
        return await self._devices.claim(shapes.read_claim(_member(call.json(), "one_time_keys")))


def _member(body: Fields, name: str) -> object:
    if name not in body:
        raise MissingParam(name)
    return body.raw[name]
