"""Signing in and out, for the management room and the API alike."""

import logging
from collections.abc import Mapping

from attrs import frozen

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import InUse, NetworkError, NotThere, Refused
from appservice.bridges.core.ids import JsonDict
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.members import Members
from appservice.bridges.core.network import LoginField, LoginFlow, LoginStep
from appservice.bridges.core.outgoing import Login
from homeserver.runtime.caches import Lru
from matrix.ids import UserId

# How long a step waits for the next.
_STEP_S = 900.0
_MAX_STEPS = 1000

logger = logging.getLogger(__name__)


@frozen
class _Under:
    """A login that is under way."""

    flow: LoginFlow
    fields: tuple[LoginField, ...]
    state: JsonDict


class LoggingIn:
    """Raises: NetworkError."""

    def __init__(self, *, context: Context, logins: Logins, members: Members) -> None:
        self._context, self._logins, self._members = context, logins, members
        self._under: Lru[str, _Under] = Lru("bridge_logging_in", _MAX_STEPS, context.clock, _STEP_S)

    def flow(self, name: str | None) -> LoginFlow | None:
        """By its id; the first, if no name is given."""
        flows = self._context.network.login_flows()
        return next((flow for flow in flows if name in (None, flow.id)), None)

    def begin(self, user_id: UserId, flow: LoginFlow) -> None:
        """The flow's fields are to be given now."""
        self._under.set(user_id, _Under(flow, flow.fields, {}))

    def wanted(self, user_id: UserId) -> tuple[LoginField, ...] | None:
        """What is to be given now; None, if no login is under way."""
        under = self._under.get(user_id)
        return None if under is None else under.fields

    def cancel(self, user_id: UserId) -> bool:
        return self._under.pop(user_id) is not None

    async def give(self, user_id: UserId, values: Mapping[str, str]) -> Login | LoginStep:
        """The values of the step's fields: who they are, or what is needed further."""
        under = self._under.get(user_id)
        if under is None:
            raise NotThere("no login is under way")
        missing = [field.label for field in under.fields if not values.get(field.id)]
        if missing:
            raise Refused(f"not given: {', '.join(missing)}")
        result = await self._context.network.log_in(user_id, under.flow.id, dict(values), under.state)
        if isinstance(result, LoginStep):
            self._under.set(user_id, _Under(under.flow, result.fields, result.state))
            return result
        self._under.pop(user_id)
        await self.finish(result)
        return result

    async def finish(self, login: Login) -> None:
        """The login is theirs."""
        owner = self._logins.find(login.id)
        if owner is not None and owner.user_id != login.user_id:
            raise InUse("somebody else has signed in with that account")
        await self._logins.put(login)
        await self._context.network.add_login(login)
        self._context.tasks.background("bridge.welcome", self._members.welcome(login))
        logger.info("%s has signed in as %s", login.user_id, login.person)

    async def log_out(self, user_id: str, login_id: str | None) -> list[str]:
        """The names of what was signed out."""
        found = [row for row in self._logins.of_user(user_id) if login_id in (None, row.login_id, row.name)]
        for row in found:
            login = await self._logins.remove(row.login_id)
            if login is not None:
                try:
                    await self._context.network.remove_login(login)
                except NetworkError as error:
                    # It may not be good any more; here it is forgotten.
                    logger.info("A login could not be revoked: %s", error)
        return [row.name for row in found]
