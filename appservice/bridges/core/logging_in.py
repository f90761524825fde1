"""Signing in and out, for the management room and the API alike.

What is asked for next is in the database: a bridge that is killed in between knows a secret for one still, and does not
take it for a word that it may repeat.
"""

import logging
from collections.abc import Mapping
from typing import Self

from attrs import asdict, frozen

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import InUse, NetworkError, NotThere, Refused
from appservice.bridges.core.ids import JsonDict
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.members import Members
from appservice.bridges.core.network import LoginField, LoginFlow, LoginStep
from appservice.bridges.core.outgoing import Login
from matrix.ids import UserId
from storage import bridges as rows

# How long a step waits for the next.
_STEP_MS = 900_000

logger = logging.getLogger(__name__)


@frozen
class _Under:
    """A login that is under way."""

    flow: str
    fields: tuple[LoginField, ...]
    state: JsonDict

    def to_json(self, until_ms: int) -> JsonDict:
        fields = [asdict(field) for field in self.fields]
        return {"flow": self.flow, "fields": fields, "state": self.state, "until_ms": until_ms}

    @classmethod
    def from_json(cls, data: JsonDict) -> Self:
        return cls(data["flow"], tuple(LoginField(**each) for each in data["fields"]), data["state"])


class LoggingIn:
    """Raises: NetworkError."""

    def __init__(self, *, context: Context, logins: Logins, members: Members) -> None:
        self._context, self._logins, self._members = context, logins, members

    def flow(self, name: str | None) -> LoginFlow | None:
        """By its id; the first, if no name is given."""
        flows = self._context.network.login_flows()
        return next((flow for flow in flows if name in (None, flow.id)), None)

    async def begin(self, user_id: UserId, flow: LoginFlow) -> None:
        """The flow's fields are to be given now."""
        await self._put(user_id, _Under(flow.id, flow.fields, {}))

    async def wanted(self, user_id: UserId) -> tuple[LoginField, ...] | None:
        """What is to be given now; None, if no login is under way."""
        under = await self._find(user_id)
        return None if under is None else under.fields

    async def cancel(self, user_id: UserId) -> bool:
        under = await self._find(user_id)
        await self._context.store.run(rows.put_memory, _key(user_id), None)
        return under is not None

    async def done_by(self, user_id: UserId, key: str) -> str | None:
        """The name of the login that was made by what has this key; None, if none was."""
        known = await self._context.store.read(rows.find_memory, _key(user_id)) or {}
        return str(known["name"]) if known.get("done") == key else None

    async def _find(self, user_id: UserId) -> _Under | None:
        known = await self._context.store.read(rows.find_memory, _key(user_id)) or {}
        is_waited_for = known.get("until_ms", 0) > self._context.clock.now_ms()
        return _Under.from_json(known) if is_waited_for else None

    async def _put(self, user_id: UserId, under: _Under) -> None:
        kept = under.to_json(self._context.clock.now_ms() + _STEP_MS)
        await self._context.store.run(rows.put_memory, _key(user_id), kept)

    async def give(self, user_id: UserId, values: Mapping[str, str], key: str | None = None) -> Login | LoginStep:
        """The values of the step's fields: who they are, or what is needed further.

        `key` names what gave them: given again, it is `done_by` it.
        """
        under = await self._find(user_id)
        if under is None:
            raise NotThere("no login is under way")
        missing = [field.label for field in under.fields if not values.get(field.id)]
        if missing:
            raise Refused(f"not given: {', '.join(missing)}")
        result = await self._context.network.log_in(user_id, under.flow, dict(values), under.state)
        if isinstance(result, LoginStep):
            await self._put(user_id, _Under(under.flow, result.fields, result.state))
            return result
        await self.finish(result)
        done = None if key is None else {"done": key, "name": result.name}
        await self._context.store.run(rows.put_memory, _key(user_id), done)
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


def _key(user_id: str) -> str:
    return f"signing in {user_id}"
