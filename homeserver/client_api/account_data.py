"""Account data, global and of rooms.

Source: client-server API, "Client Config".
"""

from homeserver.client_api.ownership import check_own
from homeserver.services.users.account_data import GLOBAL, AccountData
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import client, route
from matrix.ids import RoomId, UserId

_MSC3391 = "org.matrix.msc3391"
_GLOBAL = "/user/{user_id}/account_data/{kind}"
_ROOM = "/user/{user_id}/rooms/{room_id}/account_data/{kind}"


class AccountDataApi:
    def __init__(self, *, account_data: AccountData) -> None:
        self._account_data = account_data

    @route("GET", *client(_GLOBAL))
    async def get_global(self, call: Call, user_id: UserId, kind: str) -> Answer:
        return await self._get(call, user_id, GLOBAL, kind)

    @route("PUT", *client(_GLOBAL))
    async def put_global(self, call: Call, user_id: UserId, kind: str) -> Answer:
        return await self._put(call, user_id, GLOBAL, kind)

    @route("DELETE", *client(_GLOBAL, unstable=_MSC3391))
    async def delete_global(self, call: Call, user_id: UserId, kind: str) -> Answer:
        return await self._delete(call, user_id, GLOBAL, kind)

    @route("GET", *client(_ROOM))
    async def get_of_room(self, call: Call, user_id: UserId, room_id: RoomId, kind: str) -> Answer:
        return await self._get(call, user_id, room_id, kind)

    @route("PUT", *client(_ROOM))
    async def put_of_room(self, call: Call, user_id: UserId, room_id: RoomId, kind: str) -> Answer:
        return await self._put(call, user_id, room_id, kind)

    @route("DELETE", *client(_ROOM, unstable=_MSC3391))
    async def delete_of_room(self, call: Call, user_id: UserId, room_id: RoomId, kind: str) -> Answer:
        return await self._delete(call, user_id, room_id, kind)

    async def _get(self, call: Call, user_id: UserId, room_id: str, kind: str) -> Answer:
        check_own(call, user_id)
        return RawJson([await self._account_data.get(user_id, room_id, kind)])

    async def _put(self, call: Call, user_id: UserId, room_id: str, kind: str) -> Answer:
        check_own(call, user_id)
        await self._account_data.set(user_id, room_id, kind, dict(call.json().raw))
        return {}

    async def _delete(self, call: Call, user_id: UserId, room_id: str, kind: str) -> Answer:
        check_own(call, user_id)
        await self._account_data.delete(user_id, room_id, kind)
        return {}
