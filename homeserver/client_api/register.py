"""Making an account.

Source: client-server API, "Account registration", "Guest Access", "Token-authenticated registration".
"""

from typing import Any

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.users.appservice_login import check_may_log_in
from homeserver.services.users.appservice_tokens import AppserviceTokens
from homeserver.services.users.login import DeviceWish, Login, read_device_name
from homeserver.services.users.registration import CheckedEmail, NewAccount, Registration, UserInUse, Usernames
from homeserver.services.users.registration_tokens import RegistrationTokens
from homeserver.services.users.sessions import Sessions
from homeserver.services.users.settings import RegistrationSettings
from homeserver.services.users.ui_auth import DUMMY, EMAIL, REGISTRATION_TOKEN, Flows, UiAuth
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import Forbidden, LimitExceeded, MissingParam
from matrix.ids import UserId

APPSERVICE = "m.login.application_service"
MAX_USERNAME_BYTES = 512


class RegisterApi:
    """`limit`: rc_registration, by address."""

    def __init__(
        self,
        *,
        settings: RegistrationSettings,
        registration: Registration,
        sessions: Sessions,
        login: Login,
        ui_auth: UiAuth,
        appservices: AppserviceTokens,
        limit: RateLimit,
    ) -> None:
        self._settings = settings
        self._appservices = appservices
        self._registration = registration
        self._sessions = sessions
        self._login = login
        self._ui_auth = ui_auth
        self._limit = limit
        self._flows = _flows(settings)

    @route("POST", *client("/register"), access=Access.PUBLIC)
    async def register(self, call: Call) -> Answer:
        body = call.json()
        if body.optional_text("type") == APPSERVICE:
            return await self._register_for_appservice(call, body)
        self._limit.check(call.client_ip)
        if call.query.choice("kind", ("user", "guest"), "user") == "guest":
            return await self._register_guest(call, body)
        return await self._register_user(call, body)

    async def _register_user(self, call: Call, body: Fields) -> Answer:
        if not self._settings.enabled:
            raise Forbidden("Registration has been disabled")
        wish, username = DeviceWish.read(body), body.optional_text("username", max_bytes=MAX_USERNAME_BYTES)
        username = None if username is None else username.lower()
        guest = await self._guest(body, username)
        if username is not None:
            await self._check_username(username, guest)
        password = self._password(body)
        completed = await self._ui_auth.require(call, self._flows)
        token = completed.get(REGISTRATION_TOKEN)
        try:
            self._limit.take(call.client_ip)
        except LimitExceeded:
            await self._registration.give_back(token)
            raise
        email = _email(completed.get(EMAIL))
        if guest is not None:
            await self._registration.upgrade_guest(guest, password, email)
            return await self._login.answer_registration(guest, wish)
        new = NewAccount(username, password, registration_token=token, email=email)
        user_id = await self._registration.register(new)
        return await self._login.answer_registration(user_id, wish)

    def _password(self, body: Fields) -> str:
        """The password, before a stage is used up by a request that cannot succeed. Raises: BadRequest."""
        password = body.optional_text("password")
        if password is not None:
            self._registration.check_password(password)
        elif "auth" in body:
            raise MissingParam("password")
        # Without `auth` the client only asks for the flows.
        return password or ""

    async def _check_username(self, username: str, guest: UserId | None) -> None:
        try:
            await self._registration.check_name(username, guest=guest)
        except UserInUse:
            if not self._settings.inhibit_user_in_use_error:
                raise

    async def _guest(self, body: Fields, username: str | None) -> UserId | None:
        """The guest who becomes a user, if one does. Raises: MatrixError."""
        token = body.optional_text("guest_access_token")
        if token is None:
            return None
        requester = (await self._sessions.authenticate(token)).requester
        if not requester.is_guest or requester.user_id.localpart != username:
            raise Forbidden("The token is not that of the guest with this user name")
        return requester.user_id

    async def _register_guest(self, call: Call, body: Fields) -> Answer:
        if not self._settings.allow_guests:
            raise Forbidden("Guest access is disabled", "M_GUEST_ACCESS_FORBIDDEN")
        # Of a guest's request nothing else counts.
        wish = DeviceWish(display_name=read_device_name(body))
        self._limit.take(call.client_ip)
        user_id = await self._registration.register(NewAccount(is_guest=True))
        return await self._login.answer_registration(user_id, wish)

    async def _register_for_appservice(self, call: Call, body: Fields) -> Answer:
        service = self._appservices.get(call)
        wish = DeviceWish.read(body)
        if not wish.inhibit_login:
            check_may_log_in(service)
        localpart = body.text("username", max_bytes=MAX_USERNAME_BYTES)
        user_id = await self._registration.register_for_appservice(localpart, service)
        return await self._login.answer_registration(user_id, wish)


def _flows(settings: RegistrationSettings) -> Flows:
    """An address may be given; whoever must give one where no mails are sent cannot register at all."""
    first = [REGISTRATION_TOKEN] if settings.requires_token else []
    if settings.requires_email:
        return [[*first, EMAIL]]
    return [first or [DUMMY], *([[*first, EMAIL]] if settings.can_mail else [])]


def _email(result: Any) -> CheckedEmail | None:
    return None if result is None else CheckedEmail(result["address"], result["validated_ms"])


class BeforeRegisterApi:
    """What a client may ask before it registers. `limit` is by address."""

    def __init__(
        self,
        *,
        settings: RegistrationSettings,
        usernames: Usernames,
        tokens: RegistrationTokens,
        limit: RateLimit,
    ) -> None:
        self._settings = settings
        self._usernames = usernames
        self._tokens = tokens
        self._limit = limit

    @route("GET", *client("/register/available"), access=Access.PUBLIC)
    async def is_available(self, call: Call) -> Answer:
        if not self._settings.enabled:
            raise Forbidden("Registration has been disabled")
        self._limit.take(call.client_ip)
        username = call.query.text("username", max_bytes=MAX_USERNAME_BYTES)
        try:
            await self._usernames.check(username)
        except UserInUse:
            if not self._settings.inhibit_user_in_use_error:
                raise
        return {"available": True}

    @route("GET", "/_matrix/client/v1/register/m.login.registration_token/validity", access=Access.PUBLIC)
    async def is_token_valid(self, call: Call) -> Answer:
        self._limit.take(call.client_ip)
        if not self._settings.enabled:
            raise Forbidden("Registration has been disabled")
        return {"valid": await self._tokens.is_valid(call.query.text("token"))}
