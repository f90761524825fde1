"""From where a user's devices came last: for the user, and for server admins.

Source: client-server API, "Server Administration", GET /admin/whois/{userId}.
"""

from homeserver.services.users.accounts import Accounts
from homeserver.services.users.devices import Devices
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import Forbidden, InvalidParam
from matrix.ids import ServerName, UserId


class WhoisApi:
    def __init__(self, *, accounts: Accounts, devices: Devices, server_name: ServerName) -> None:
        self._accounts = accounts
        self._devices = devices
        self._server_name = server_name

    @route("GET", *client("/admin/whois/{user_id}"), "/_synapse/admin/v1/whois/{user_id}")
    async def get_whereabouts(self, call: Call, user_id: UserId) -> Answer:
        if user_id != call.user.user_id and not call.user.is_admin:
            raise Forbidden("You are not a server admin")
        if user_id.domain != self._server_name:
            raise InvalidParam("Can only whois a local user")
        await self._accounts.get(user_id)
        devices = {}
        for device in await self._devices.list_of(user_id):
            connection = {
                "ip": device.last_seen_ip,
                "last_seen": device.last_seen_ms,
                "user_agent": device.last_seen_user_agent,
            }
            seen = [{name: value for name, value in connection.items() if value is not None}]
            devices[device.device_id] = {"sessions": [{"connections": seen if seen[0] else []}]}
        return {"user_id": user_id, "devices": devices}
