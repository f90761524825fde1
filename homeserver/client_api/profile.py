"""Profiles.

Source: client-server API, "Profiles".
"""

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.appservices.users import Appear, nobody_appears
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.profiles import DISPLAYNAME, MaySee, Profiles, check_key, everybody_may_see
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import Forbidden, MissingParam
from matrix.ids import UserId

_FIELD = client("/profile/{user_id}/{key}", unstable="uk.tcpip.msc4133")


class ProfileApi:
    """`limit` is for looking up; `may_see` says who may look up whose; `appear` makes users that a service has."""

    def __init__(
        self,
        *,
        profiles: Profiles,
        accounts: Accounts,
        limit: RateLimit,
        may_see: MaySee = everybody_may_see,
        appear: Appear = nobody_appears,
    ) -> None:
        self._profiles = profiles
        self._accounts = accounts
        self._limit = limit
        self._may_see = may_see
        self._appear = appear

    @route("GET", *client("/profile/{user_id}", unstable="uk.tcpip.msc4133"), access=Access.OPTIONAL)
    async def get_profile(self, call: Call, user_id: UserId) -> Answer:
        await self._look_for(call, user_id)
        return await self._profiles.get(user_id)

    @route("GET", *_FIELD, access=Access.OPTIONAL)
    async def get_field(self, call: Call, user_id: UserId, key: str) -> Answer:
        await self._look_for(call, user_id)
        return {key: await self._profiles.get_field(user_id, key)}

    @route("PUT", *_FIELD, access=Access.GUEST)
    async def put_field(self, call: Call, user_id: UserId, key: str) -> Answer:
        by_admin = await self._check_may_change(call, user_id, key)
        body = call.json().raw
        if key not in body:
            raise MissingParam(key)
        await self._profiles.set_field(user_id, key, body[key], by_admin=by_admin)
        return {}

    @route("DELETE", *_FIELD, access=Access.GUEST)
    async def delete_field(self, call: Call, user_id: UserId, key: str) -> Answer:
        by_admin = await self._check_may_change(call, user_id, key)
        await self._profiles.delete_field(user_id, key, by_admin=by_admin)
        return {}

    async def _look_for(self, call: Call, user_id: UserId) -> None:
        """Raises: Forbidden, LimitExceeded."""
        self._limit.take(call.client_ip if call.requester is None else call.requester.limit_key)
        await self._may_see(call.requester, user_id)
        await self._appear([user_id], call.requester)

    async def _check_may_change(self, call: Call, user_id: UserId, key: str) -> bool:
        """Whether it is done as an admin. Raises: Forbidden, BadRequest."""
        check_key(key)
        user = call.user
        if user.user_id != user_id and not user.is_admin:
            raise Forbidden("Cannot set another user's profile")
        if user.is_guest and key != DISPLAYNAME:
            raise Forbidden("Guests may only change their display name", "M_GUEST_ACCESS_FORBIDDEN")
        await self._accounts.check_not_suspended(user.user_id)
        return user.is_admin
