"""Dehydrated devices, under the unstable name that clients know.

Source: MSC3814.
"""

import re
from typing import Any

import orjson

from homeserver.services.e2ee.dehydrated import MAX_MESSAGES, DehydratedDevices, Messages
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import route
from matrix.errors import InvalidParam

_PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
_TOKEN = re.compile(r"d(\d{1,18})")


class DehydratedDevicesApi:
    def __init__(self, *, dehydrated_devices: DehydratedDevices) -> None:
        self._devices = dehydrated_devices

    @route("PUT", _PATH)
    async def put_device(self, call: Call) -> Answer:
        body = call.json()
        body.text("device_id")
        body.object("device_data").text("algorithm")
        body.object("device_keys")
        name = body.optional_text("initial_device_display_name", max_bytes=255)
        return {"device_id": await self._devices.put(call.user.user_id, body.raw, name, call.received_ms)}

    @route("GET", _PATH)
    async def get_device(self, call: Call) -> Answer:
        device = await self._devices.get(call.user.user_id)
        return {"device_id": device.device_id, "device_data": device.device_data}

    @route("DELETE", _PATH)
    async def delete_device(self, call: Call) -> Answer:
        return {"device_id": await self._devices.delete(call.user.user_id)}

    @route("GET", f"{_PATH}/{{device_id}}/events")
    async def get_messages(self, call: Call, device_id: str) -> Answer:
        messages = await self._messages(call, device_id, call.query.optional_text("from"))
        return _answer(messages, with_token=messages.limited)

    @route("POST", f"{_PATH}/{{device_id}}/events")
    async def post_messages(self, call: Call, device_id: str) -> Answer:
        """The older form, which the Rust SDK uses: there is always a token, and no events are the end."""
        since = call.json(empty_ok=True).optional_text("next_batch")
        return _answer(await self._messages(call, device_id, since), with_token=True)

    async def _messages(self, call: Call, device_id: str, since: str | None) -> Messages:
        limit = call.query.integer("limit", MAX_MESSAGES, minimum=0)
        return await self._devices.messages(call.user.user_id, device_id, _position(since), limit)


def _answer(messages: Messages, *, with_token: bool) -> Answer:
    answer: dict[str, Any] = {"events": [orjson.Fragment(text) for text in messages.texts]}
    if with_token:
        answer["next_batch"] = f"d{messages.upto}"
    return answer


def _position(token: str | None) -> int:
    """Where to go on. An empty token is none: so the Rust SDK begins."""
    if not token:
        return 0
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise InvalidParam("The token is not one of a dehydrated device")
    return int(match[1])
