"""The login method m.login.application_service: a bridge gets a session for one of its users.

Source: client-server API, "Appservice Login".
"""

from homeserver.services.users.accounts import Accounts
from homeserver.services.users.appservices import Appservices
from homeserver.services.users.login import PasswordCheck
from homeserver.web.call import Call
from homeserver.web.params import Fields
from matrix.errors import Forbidden, MatrixError
from matrix.ids import UserId


class AppserviceLogin:
    def __init__(self, *, accounts: Accounts, appservices: Appservices, check: PasswordCheck) -> None:
        self._accounts = accounts
        self._appservices = appservices
        self._check = check

    async def __call__(self, call: Call, body: Fields) -> UserId:
        token = call.access_token()
        if token is None:
            raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
        appservice = self._appservices.by_token(token)
        if appservice is None:
            raise Forbidden("The access token is not an application service's")
        user_id = await self._check.identify(body)
        if user_id != appservice.sender and not appservice.owns_user(user_id):
            raise Forbidden("The user is not in the application service's namespace", "M_EXCLUSIVE")
        if await self._accounts.find(user_id) is None:
            raise Forbidden("The user is not registered")
        return user_id
