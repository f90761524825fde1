"""m.typing: a user of another server types in a room. Source: server-server API, "Typing Notifications"."""

from homeserver.services.remote_news.rooms import ToldRooms, user_of
from homeserver.services.typing import Typing
from matrix.events import Json
from matrix.ids import ServerName


class RemoteTyping:
    def __init__(self, *, rooms: ToldRooms, typing: Typing) -> None:
        self._rooms = rooms
        self._typing = typing

    async def receive(self, origin: ServerName, content: Json) -> None:
        """What is not true, or not for that server to tell, is dropped."""
        user_id, is_typing = user_of(origin, content.get("user_id")), content.get("typing")
        if user_id is None or not isinstance(is_typing, bool):
            return
        room = await self._rooms.of(origin, content.get("room_id"))
        if room is not None and await self._rooms.members(room, [user_id]):
            await self._typing.told(user_id, room.room_nid, typing=is_typing)
