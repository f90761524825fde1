"""Whose devices a user's clients have to look at again, and whose no longer.

Source: client-server API, "Tracking the device list for a user"; GET /keys/changes.
"""

from collections.abc import Awaitable, Callable, Collection

from matrix.ids import UserId
from storage import device_lists
from storage.database import Database
from storage.stream import Stream

# Everybody who is in a room with the user now. Whether the user is among them does not matter.
UsersSharingARoom = Callable[[UserId], Awaitable[Collection[str]]]


class DeviceLists:
    """`users_sharing_a_room` is asked for those who are joined to a room with the user."""

    def __init__(self, *, database: Database, stream: Stream, users_sharing_a_room: UsersSharingARoom) -> None:
        self._database = database
        self._stream = stream
        self._users_sharing_a_room = users_sharing_a_room

    async def changed(self, reader: UserId, since: int, upto: int) -> set[str]:
        """Who changed devices or keys in (since, upto] as far as the reader may hear it; from memory if possible.

        Not looked at: who came to share a room with the reader meanwhile.
        """
        if since >= self._stream.floor:
            users = device_lists.told_to(reader, self._stream.entries(since, upto))
        else:
            users = set(await self._database.read(device_lists.changed, since, upto, reader))
        if not users:
            return users
        return users & {reader, *await self._users_sharing_a_room(reader)}

    async def changes(self, reader: UserId, since: int, upto: int) -> tuple[set[str], set[str]]:
        """The answer to /keys/changes: who changed or came to share a room, and who shares none any more."""
        changed = await self.changed(reader, since, upto)
        moves = await self._database.read(device_lists.moves, reader, since)
        sharing = set(await self._users_sharing_a_room(reader))
        return changed | moves.came, moves.went - moves.came - sharing - {str(reader)}
