"""To-device messages for sync: given until the device shows, by its next token, that it has them; then deleted.

Most syncs find nothing. What is known to be empty is remembered with the position up to which it is, so that nothing
is asked of the database until the stream tells of a message.

Source: client-server API, "Send-to-Device messaging", "Server behaviour".
"""

from attrs import frozen

from homeserver.runtime.caches import Lru
from matrix.ids import DeviceId, UserId
from storage import to_device
from storage.change import Kind
from storage.database import Database
from storage.stream import Stream

# "A reasonable upper limit is 100 messages": client-server API, "Send-to-Device messaging".
MAX_MESSAGES = 100
MAX_DEVICES = 50_000


@frozen
class Mail:
    """`messages` is ready JSON. If there are more than fit, `upto` is the last one's position, else what was asked."""

    messages: list[bytes]
    upto: int


class Inbox:
    def __init__(self, *, database: Database, stream: Stream) -> None:
        self._database = database
        self._stream = stream
        # By device: nothing is there at or below this position.
        self._empty_upto: Lru[tuple[str, str], int] = Lru("to_device_empty", MAX_DEVICES)

    async def collect(self, user_id: UserId, device_id: DeviceId | None, since: int | None, upto: int) -> Mail:
        """The messages in (since, upto]; those at or below `since` the device has, and they are deleted."""
        if device_id is None:
            return Mail([], upto)
        key = (user_id, device_id)
        if self._is_known_empty(key, upto):
            self._empty_upto.set(key, upto)
            return Mail([], upto)
        args = (user_id, device_id, since or 0, upto, MAX_MESSAGES)
        found = await self._database.run(to_device.acknowledge_and_read, *args)
        if not found:
            self._empty_upto.set(key, upto)
        last = found[-1][0] if len(found) >= MAX_MESSAGES else upto
        return Mail([content.encode() for _, content in found], last)

    def _is_known_empty(self, key: tuple[str, str], upto: int) -> bool:
        empty_upto = self._empty_upto.get(key)
        if empty_upto is None or empty_upto < self._stream.floor:
            return False
        entries = self._stream.user_entries(key[0], empty_upto, upto)
        return not any(entry.kind is Kind.TO_DEVICE for entry in entries)
