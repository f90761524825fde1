"""Tags of rooms.

Source: client-server API, "Room Tagging".
"""

from homeserver.client_api.ownership import check_own
from homeserver.services.users.account_data import AccountData
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import BadRequest
from matrix.ids import RoomId, UserId

_TAGS = "/user/{user_id}/rooms/{room_id}/tags"


class TagsApi:
    def __init__(self, *, account_data: AccountData) -> None:
        self._account_data = account_data

    @route("GET", *client(_TAGS))
    async def get_tags(self, call: Call, user_id: UserId, room_id: RoomId) -> Answer:
        check_own(call, user_id)
        return {"tags": await self._account_data.tags(user_id, room_id)}

    @route("PUT", *client(_TAGS + "/{tag}"))
    async def put_tag(self, call: Call, user_id: UserId, room_id: RoomId, tag: str) -> Answer:
        check_own(call, user_id)
        content = dict(call.json(empty_ok=True).raw)
        order = content.get("order")
        # Element writes whole numbers and texts of old; only what can be no order at all is refused.
        if order is not None and (isinstance(order, bool) or not isinstance(order, int | float | str)):
            raise BadRequest("order must be a number")
        await self._account_data.put_tag(user_id, room_id, tag, content)
        return {}

    @route("DELETE", *client(_TAGS + "/{tag}"))
    async def delete_tag(self, call: Call, user_id: UserId, room_id: RoomId, tag: str) -> Answer:
        check_own(call, user_id)
        await self._account_data.put_tag(user_id, room_id, tag, None)
        return {}
