"""Rooms in which one is together with another user.

Source: client-server API, "Mutual Rooms"; MSC2666 for the names that it had before.
"""

from typing import Any

from homeserver.services.rooms.mutual_rooms import MutualRooms
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import route
from matrix.ids import UserId


class MutualRoomsApi:
    def __init__(self, *, mutual_rooms: MutualRooms) -> None:
        self._mutual_rooms = mutual_rooms

    @route("GET", "/_matrix/client/v1/mutual_rooms")
    async def get_mutual_rooms(self, call: Call) -> Answer:
        return await self._page(call, "from", "next_batch")

    @route("GET", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms")
    async def get_by_old_name(self, call: Call) -> Answer:
        return await self._page(call, "batch_token", "next_batch_token")

    async def _page(self, call: Call, token: str, following: str) -> Answer:
        other = call.query.parsed("user_id", UserId)
        after = call.query.integer(token, 0, minimum=0, maximum=2**31 - 1)
        page = await self._mutual_rooms.page(call.user.user_id, other, after)
        answer: dict[str, Any] = {"joined": page.rooms, "count": page.count}
        return answer if page.following is None else {**answer, following: str(page.following)}
