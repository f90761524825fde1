"""Devices of our users, and their keys, for other servers.

Source: server-server API, "Device Management" and "End-to-End Encryption".
"""

from federation.inbound.routes import V1, ServerApi, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.own_devices import OwnDevices
from homeserver.web.body import LARGE_JSON_BYTES
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from matrix.errors import MissingParam
from matrix.ids import UserId


class FederationDevicesApi(ServerApi):
    def __init__(self, *, turns: Turns, devices: OwnDevices) -> None:
        super().__init__(turns=turns)
        self._devices = devices

    @server_route("GET", f"{V1}/user/devices/{{user_id}}")
    async def get_devices(self, call: Call, user_id: UserId) -> Answer:
        return await self._devices.list_of(user_id)

    @server_route("POST", f"{V1}/user/keys/query", max_body_bytes=LARGE_JSON_BYTES)
    async def query(self, call: Call) -> Answer:
        return await self._devices.query(shapes.read_query(_member(call.json(), "device_keys")))

    @server_route("POST", f"{V1}/user/keys/claim", max_body_bytes=LARGE_JSON_BYTES)
    async def claim(self, call: Call) -> Answer:
        return await self._devices.claim(shapes.read_claim(_member(call.json(), "one_time_keys")))


def _member(body: Fields, name: str) -> object:
    if name not in body:
        raise MissingParam(name)
    return body.raw[name]
