"""Typing notifications.

Source: client-server API, "Typing Notifications".
"""

from homeserver.services.typing import DEFAULT_TIMEOUT_MS, Typing
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import Forbidden
from matrix.ids import RoomId, UserId


class TypingApi:
    def __init__(self, *, typing: Typing) -> None:
        self._typing = typing

    @route("PUT", *client("/rooms/{room_id}/typing/{user_id}"))
    async def put_typing(self, call: Call, room_id: RoomId, user_id: UserId) -> Answer:
        if user_id != call.user.user_id:
            raise Forbidden("Cannot set another user's typing state")
        body = call.json()
        timeout_ms = body.integer("timeout", DEFAULT_TIMEOUT_MS, minimum=0)
        await self._typing.set(user_id, room_id, typing=body.boolean("typing"), timeout_ms=timeout_ms)
        return {}
