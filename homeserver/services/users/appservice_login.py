"""The login method m.login.application_service: a bridge gets a session for one of its users.

Source: client-server API, "Appservice Login"; application service API, "Server admin style permissions".
"""

from appservice.registration import Registration
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.appservice_tokens import AppserviceTokens
from homeserver.services.users.login import PasswordCheck
from homeserver.web.call import Call
from homeserver.web.params import Fields
from matrix.errors import BadRequest, Forbidden
from matrix.ids import UserId


class LoginUnsupported(BadRequest):
    def __init__(self) -> None:
        super().__init__(
            "This application service manages devices itself (MSC4190): it must not log in, and registers with"
            " inhibit_login.",
            "M_APPSERVICE_LOGIN_UNSUPPORTED",
        )


def check_may_log_in(service: Registration) -> None:
    """Raises: LoginUnsupported."""
    if service.manages_devices:
        raise LoginUnsupported()


class AppserviceLogin:
    def __init__(self, *, accounts: Accounts, tokens: AppserviceTokens, check: PasswordCheck) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._check = check

    async def __call__(self, call: Call, body: Fields) -> UserId:
        service = self._tokens.get(call)
        check_may_log_in(service)
        user_id = await self._check.identify(body)
        if not service.owns_user(user_id):
            raise Forbidden("The user is not in the application service's namespace", "M_EXCLUSIVE")
        if await self._accounts.find(user_id) is None:
            raise Forbidden("The user is not registered")
        return user_id
