"""The stage m.login.password of user-interactive authentication."""

from typing import Any

from homeserver.services.users.login import PasswordCheck
from homeserver.services.users.ui_auth import Attempt, WrongUser
from matrix.errors import Forbidden


class PasswordStage:
    """Proves who the user is; gives the user id."""

    def __init__(self, *, check: PasswordCheck) -> None:
        self._check = check

    async def check(self, attempt: Attempt) -> Any:
        auth, expected = attempt.auth, attempt.user_id
        if not self._check.settings.for_reauth:
            raise Forbidden("Passwords are disabled on this server")
        # Old clients leave out who they are, which the access token says.
        names_user = "identifier" in auth or "user" in auth
        user_id = await self._check.identify(auth) if names_user or expected is None else expected
        user = await self._check.check(user_id, auth.text("password"))
        if expected is not None and user.user_id != expected:
            raise WrongUser("This is not the password of the user who makes the request")
        return user.user_id

    async def abandon(self, results: list[Any]) -> None:
        pass
