"""Locking and suspending accounts, for server admins.

Source: client-server API, "Account moderation", "Server Administration".
"""

from homeserver.services.users.accounts import Accounts
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import Forbidden, InvalidParam, NotFound
from matrix.ids import ServerName, UserId
from storage.users import User

_LOCK = "/_matrix/client/v1/admin/lock/{user_id}"
_SUSPEND = "/_matrix/client/v1/admin/suspend/{user_id}"


class ModerationApi:
    def __init__(self, *, accounts: Accounts, server_name: ServerName) -> None:
        self._accounts = accounts
        self._server_name = server_name

    @route("GET", _LOCK, access=Access.ADMIN)
    async def get_locked(self, call: Call, user_id: UserId) -> Answer:
        return {"locked": (await self._find(user_id)).is_locked}

    @route("PUT", _LOCK, access=Access.ADMIN)
    async def set_locked(self, call: Call, user_id: UserId) -> Answer:
        locked = call.json().boolean("locked")
        await self._check_may_moderate(call, user_id)
        await self._accounts.set_flags(user_id, locked=locked)
        return {"locked": locked}

    @route("GET", _SUSPEND, access=Access.ADMIN)
    async def get_suspended(self, call: Call, user_id: UserId) -> Answer:
        return {"suspended": (await self._find(user_id)).is_suspended}

    @route("PUT", _SUSPEND, access=Access.ADMIN)
    async def set_suspended(self, call: Call, user_id: UserId) -> Answer:
        suspended = call.json().boolean("suspended")
        await self._check_may_moderate(call, user_id)
        await self._accounts.set_flags(user_id, suspended=suspended)
        return {"suspended": suspended}

    async def _find(self, user_id: UserId) -> User:
        if user_id.domain != self._server_name:
            raise InvalidParam("The user does not belong to this server")
        user = await self._accounts.get(user_id)
        if user.is_deactivated:
            raise NotFound("User not found")
        return user

    async def _check_may_moderate(self, call: Call, user_id: UserId) -> None:
        if user_id == call.user.user_id:
            raise Forbidden("You cannot do this to your own account")
        if (await self._find(user_id)).is_admin:
            raise Forbidden("The user is an admin too")
