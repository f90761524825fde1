"""OpenID tokens.

Source: client-server API, "OpenID".
"""

from homeserver.client_api.ownership import check_own
from homeserver.services.users.openid import OpenId
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.ids import UserId


class OpenIdApi:
    def __init__(self, *, openid: OpenId) -> None:
        self._openid = openid

    @route("POST", *client("/user/{user_id}/openid/request_token"))
    async def request_token(self, call: Call, user_id: UserId) -> Answer:
        check_own(call, user_id)
        # Nothing is in the body yet; but it must be JSON.
        call.json(empty_ok=True)
        return await self._openid.token_for(user_id)
