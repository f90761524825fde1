"""Send messages from device to device.

Source: client-server API, "Send-to-Device messaging".
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.e2ee.seams import Commit, IsLocal, Json, RemoteDevices
from matrix.errors import BadRequest, InvalidParam, LimitExceeded, TooLarge
from matrix.ids import BadIdentifier, ServerName, UserId
from storage import to_device
from storage.change import AlreadyThere, Change, Entry, Kind
from storage.database import Database

# All of the user's devices.
ALL_DEVICES = "*"
# Of one message's content. The specification has no bound; Synapse's is that of an EDU, which must fit into a
# transaction between servers.
MAX_CONTENT_BYTES = 65536
# Of all messages of one request as they are stored: "*" can make many of one.
MAX_MESSAGES = 10_000
MAX_NAME_BYTES = 255
# A request that is repeated later than this is taken for a new one. Synapse remembers for half an hour.
TRANSACTION_LIFETIME_MS = 24 * 3600 * 1000
TRIM_AT_ONCE = 5_000

# Content by device, by user.
Messages = Mapping[UserId, Mapping[str, Json]]


@frozen
class Transaction:
    """What makes a request the same as an earlier one. `sender` is a user or a server."""

    sender: str
    device: str
    transaction_id: str


class ToDevice:
    """`key_requests` limits how many users a device may ask for room keys; what exceeds it is dropped silently."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Commit,
        clock: Clock,
        is_local: IsLocal,
        key_requests: RateLimit | None = None,
        remote: RemoteDevices | None = None,
    ) -> None:
        self._database = database
        self._commit = commit
        self._clock = clock
        self._is_local = is_local
        self._key_requests = key_requests
        self._remote = remote
        self._sending = Linearizer()

    async def send(
        self, sender: UserId, transaction: Transaction, event_type: str, raw_messages: Any, *, is_exempt: bool = False
    ) -> None:
        """Sends each message once, however often the request is repeated. Unknown devices are passed over.

        `is_exempt`: from the limit. Raises: BadRequest, InvalidParam, TooLarge.
        """
        if len(event_type.encode()) > MAX_NAME_BYTES or len(transaction.transaction_id.encode()) > MAX_NAME_BYTES:
            raise InvalidParam(f"An event type or a transaction id can have no more than {MAX_NAME_BYTES} bytes")
        messages = read_messages(raw_messages)
        if event_type == "m.room_key_request" and not is_exempt:
            messages = self._allowed(sender, transaction.device, messages)
        async with self._sending.of(transaction):
            await self._send_once(sender, transaction, event_type, messages)

    async def receive(self, transaction: Transaction, sender: UserId, event_type: str, raw_messages: Any) -> None:
        """Takes in what another server sent for our users' devices (an m.direct_to_device EDU).

        Raises: BadRequest, InvalidParam, TooLarge. Not checked: that the sender is of that server.
        """
        messages = read_messages(raw_messages)
        local = {user_id: devices for user_id, devices in messages.items() if self._is_local(user_id.domain)}
        if event_type == "m.room_key_request":
            local = dict(self._allowed(sender, transaction.device, local))
        async with self._sending.of(transaction):
            await self._send_once(sender, transaction, event_type, local)

    async def trim(self) -> None:
        """Forgets old transactions, and messages for devices that are gone. Called every hour or so."""
        before_ms = self._clock.now_ms() - TRANSACTION_LIFETIME_MS
        while await self._database.run(to_device.trim_transactions, before_ms, TRIM_AT_ONCE) == TRIM_AT_ONCE:
            pass
        while await self._database.run(to_device.trim_orphans, TRIM_AT_ONCE) == TRIM_AT_ONCE:
            pass

    async def _send_once(self, sender: UserId, transaction: Transaction, event_type: str, messages: Messages) -> None:
        key = (transaction.sender, transaction.device, transaction.transaction_id)
        local = {user_id: devices for user_id, devices in messages.items() if self._is_local(user_id.domain)}
        known = await self._database.read(to_device.find_recipients, key, list(local))
        if known is None:
            return
        change = Change().put(to_device.ADD_TRANSACTION, (*key, self._clock.now_ms()))
        _deliver(change, sender, event_type, local, known)
        if self._remote is not None:
            for server, elsewhere in _by_server(messages, local).items():
                self._remote.put_messages(change, server, sender, event_type, elsewhere)
        try:
            await self._commit(change)
        except AlreadyThere:
            # Another process was asked at the same time, and was faster.
            return

    def _allowed(self, sender: UserId, device: str, messages: Messages) -> Messages:
        """Without the room key requests to other users that are too many."""
        if self._key_requests is None:
            return messages
        allowed = {}
        for user_id, devices in messages.items():
            try:
                if user_id != sender:
                    self._key_requests.take((sender, device))
            except LimitExceeded:
                continue
            allowed[user_id] = devices
        return allowed


def _by_server(messages: Messages, local: Messages) -> dict[ServerName, Json]:
    """The messages to users of other servers."""
    found: dict[ServerName, Json] = {}
    for user_id, devices in messages.items():
        if user_id not in local and devices:
            found.setdefault(user_id.domain, {})[str(user_id)] = devices
    return found


def read_messages(raw: Any) -> Messages:
    """The messages of a request, by user and device. Raises: BadRequest, TooLarge."""
    if not isinstance(raw, dict):
        raise BadRequest("messages must be an object")
    messages: dict[UserId, Mapping[str, Json]] = {}
    for name, devices in raw.items():
        if not isinstance(devices, dict) or not all(isinstance(content, dict) for content in devices.values()):
            raise BadRequest("messages must map users to devices to objects")
        for content in devices.values():
            if len(orjson.dumps(content)) > MAX_CONTENT_BYTES:
                raise TooLarge(f"A message can have no more than {MAX_CONTENT_BYTES} bytes")
        try:
            messages[UserId.parse(name)] = devices
        except BadIdentifier:
            # As Synapse does: one bad recipient does not keep the message from the others.
            continue
    return messages


def _deliver(
    change: Change, sender: UserId, event_type: str, messages: Messages, devices: Mapping[str, list[str]]
) -> None:
    """Puts the messages for those devices that exist, each with its entry of the stream."""
    count = 0
    for user_id, contents in messages.items():
        texts = {device_id: _message(sender, event_type, content) for device_id, content in contents.items()}
        for_all = texts.get(ALL_DEVICES)
        for device_id in devices.get(user_id, ()):
            text = texts.get(device_id, for_all)
            if text is not None:
                count += 1
                entry = Entry(kind=Kind.TO_DEVICE, user_id=str(user_id), body={"device_id": device_id})
                change.put(to_device.ADD, (user_id, device_id, change.announce(entry), text))
    if count > MAX_MESSAGES:
        raise InvalidParam(f"More than {MAX_MESSAGES} messages at once")


def _message(sender: UserId, event_type: str, content: Json) -> str:
    """The message as a sync hands it to the device."""
    return orjson.dumps({"type": event_type, "sender": str(sender), "content": content}).decode()
