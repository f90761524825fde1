"""Messages from device to device.

Source: client-server API, "Send-to-Device messaging".
"""

from homeserver.services.e2ee.to_device import ToDevice, Transaction
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route

_PATH = "/sendToDevice/{event_type}/{transaction_id}"


class ToDeviceApi:
    def __init__(self, *, to_device: ToDevice) -> None:
        self._to_device = to_device

    @route("PUT", *client(_PATH), f"/_matrix/client/unstable{_PATH}", access=Access.GUEST)
    async def send_to_device(self, call: Call, event_type: str, transaction_id: str) -> Answer:
        user = call.user
        messages = call.json().object("messages").raw
        transaction = Transaction(user.user_id, user.device_id or "", transaction_id)
        await self._to_device.send(user.user_id, transaction, event_type, messages, is_exempt=user.is_exempt)
        return {}
