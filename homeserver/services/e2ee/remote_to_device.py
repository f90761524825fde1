"""Messages to devices of other servers, and those that come from there: m.direct_to_device.

Source: server-server API, "Send-to-device messaging".
"""

import secrets
from typing import Any, TypeGuard

import orjson

from homeserver.services.e2ee.seams import Json
from homeserver.services.e2ee.to_device import MAX_NAME_BYTES, ToDevice, Transaction
from matrix.errors import BadRequest, InvalidParam
from matrix.ids import BadIdentifier, ServerName, UserId
from storage.change import Change
from storage.federation_queue import queue_edu

EDU_TYPE = "m.direct_to_device"
# Of one EDU's messages, as Synapse: a transaction has room for some of them beside each other.
MAX_EDU_BYTES = 65_536
# Who sends for several servers' users says so: no user of another server has it.
_NO_DEVICE = ""


class DirectToDevice:
    """`seams.RemoteDevices` over federation: as durable as the change that the messages are part of."""

    def put_messages(self, change: Change, server: ServerName, sender: UserId, event_type: str, messages: Json) -> None:
        """Queues messages by user and device, in as many EDUs as they need."""
        for part in _parts(messages):
            content = {
                "sender": str(sender),
                "type": event_type,
                "message_id": secrets.token_hex(16),
                "messages": part,
            }
            queue_edu(change, server, EDU_TYPE, content)


async def receive_direct(to_device: ToDevice, origin: ServerName, content: Json) -> None:
    """Takes in an EDU, once for each message_id. Raises: BadRequest, InvalidParam, TooLarge."""
    sender = _sender(origin, content.get("sender"))
    event_type, message_id = content.get("type"), content.get("message_id")
    if not _is_name(event_type) or not _is_name(message_id):
        raise BadRequest("type or message_id is missing, or none")
    transaction = Transaction(str(origin), _NO_DEVICE, message_id)
    await to_device.receive(transaction, sender, event_type, content.get("messages"))


def _parts(messages: Json) -> list[Json]:
    """The messages, cut so that none is much larger than MAX_EDU_BYTES unless a single message is."""
    parts: list[Json] = []
    room = 0
    for user_id, devices in messages.items():
        for device_id, content in devices.items():
            size = len(orjson.dumps(content)) + len(user_id) + len(device_id) + 8
            if size > room:
                parts.append({})
                room = MAX_EDU_BYTES
            room -= size
            parts[-1].setdefault(str(user_id), {})[device_id] = content
    return parts


def _sender(origin: ServerName, raw: Any) -> UserId:
    try:
        sender = UserId.parse(raw if isinstance(raw, str) else "")
    except BadIdentifier as error:
        raise InvalidParam(f"sender: {error}") from error
    if sender.domain != origin:
        raise InvalidParam(f"{sender} is not a user of {origin}")
    return sender


def _is_name(raw: Any) -> TypeGuard[str]:
    return isinstance(raw, str) and bool(raw) and "\x00" not in raw and len(raw.encode()) <= MAX_NAME_BYTES
