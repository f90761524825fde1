"""Logging in and out, and refreshing tokens.

Source: client-server API, "Login", "Refreshing access tokens".
"""

from collections.abc import Sequence
from typing import Any

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.users.devices import Devices
from homeserver.services.users.login import Login, LoginTokens
from homeserver.services.users.sessions import Sessions
from homeserver.services.users.ui_auth import PASSWORD_FLOWS, UiAuth
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import Unrecognized

LOGIN_TOKEN = "m.login.token"  # noqa: S105


class LoginApi:
    """`flows`: what GET /login lists. `well_known`: what a login's answer says of where the server is."""

    def __init__(
        self,
        *,
        login: Login,
        sessions: Sessions,
        devices: Devices,
        flows: Sequence[dict[str, Any]],
        refresh_limit: RateLimit,
        well_known: dict[str, Any] | None = None,
    ) -> None:
        self._login = login
        self._sessions = sessions
        self._devices = devices
        self._flows = list(flows)
        self._refresh_limit = refresh_limit
        self._well_known = well_known

    @route("GET", *client("/login"), access=Access.PUBLIC)
    async def get_flows(self, call: Call) -> Answer:
        return {"flows": self._flows}

    @route("POST", *client("/login"), access=Access.PUBLIC)
    async def log_in(self, call: Call) -> Answer:
        answer = (await self._login.log_in(call)).fields()
        if self._well_known is not None:
            answer["well_known"] = self._well_known
        return answer

    @route("POST", *client("/refresh"), "/_matrix/client/v1/refresh", access=Access.PUBLIC)
    async def refresh(self, call: Call) -> Answer:
        self._refresh_limit.take(call.client_ip)
        tokens = await self._sessions.refresh(call.json().text("refresh_token"))
        return dict(tokens.fields())

    @route("POST", *client("/logout"), access=Access.GUEST)
    async def log_out(self, call: Call) -> Answer:
        await self._devices.log_out(call.user)
        return {}

    @route("POST", *client("/logout/all"), access=Access.GUEST)
    async def log_out_everywhere(self, call: Call) -> Answer:
        await self._devices.delete_all(call.user.user_id)
        return {}


class LoginTokenApi:
    """`limit` is by user."""

    def __init__(self, *, tokens: LoginTokens, ui_auth: UiAuth, limit: RateLimit) -> None:
        self._tokens = tokens
        self._ui_auth = ui_auth
        self._limit = limit

    @route(
        "POST",
        "/_matrix/client/v1/login/get_token",
        "/_matrix/client/unstable/org.matrix.msc3882/login/get_token",
        access=Access.USER,
    )
    async def get_token(self, call: Call) -> Answer:
        if not self._tokens.settings.enabled:
            raise Unrecognized()
        user_id = call.user.user_id
        if self._tokens.settings.require_ui_auth:
            await self._ui_auth.require(call, PASSWORD_FLOWS, user_id=user_id)
        self._limit.take(user_id)
        token, expires_in_ms = await self._tokens.make(user_id)
        return {"login_token": token, "expires_in_ms": expires_in_ms}
