"""Accounts of the network that Matrix users have signed in with: in memory, each change written through."""

import logging
from collections.abc import Sequence

from attrs import evolve

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import LoginId, PersonId
from appservice.bridges.core.matrix_client import Actor
from appservice.bridges.core.outgoing import Login
from storage import bridges as rows
from storage.bridges import LoginRow

logger = logging.getLogger(__name__)


class Logins:
    """`load` first."""

    def __init__(self, *, context: Context) -> None:
        self._context = context
        self._by_id: dict[str, LoginRow] = {}
        self._by_person: dict[str, LoginRow] = {}

    async def load(self) -> None:
        for row in await self._context.store.read(rows.logins):
            self._take(row)

    def all(self) -> Sequence[Login]:
        return [as_login(row) for row in self._by_id.values()]

    def find(self, login_id: str) -> LoginRow | None:
        return self._by_id.get(login_id)

    def of_user(self, user_id: str) -> Sequence[LoginRow]:
        return [row for row in self._by_id.values() if row.user_id == user_id]

    def of_person(self, person: str) -> LoginRow | None:
        return self._by_person.get(person)

    def working(self, user_id: str) -> Login | None:
        """The login by which the user writes."""
        return next((as_login(row) for row in self.of_user(user_id) if row.lost is None), None)

    def puppet(self, person: str) -> Actor | None:
        """The Matrix user as whom it is shown what the person does; None, if that is a ghost's."""
        settings = self._context.settings
        row = self._by_person.get(person)
        token = settings.appservice.puppet_token
        if row is None or token is None or not settings.double_puppets:
            return None
        is_local = row.user_id.domain == settings.homeserver.server_name
        return Actor(row.user_id, token, is_puppet=True) if is_local else None

    async def put(self, login: Login) -> None:
        """A new login, or a known one with other credentials; it works again."""
        row = LoginRow(
            login_id=login.id,
            user_id=login.user_id,
            person_id=login.person,
            name=login.name,
            credentials=login.credentials,
        )
        await self._context.store.run(rows.put_login, row)
        self._forget(login.id)
        self._take(row)

    async def remove(self, login_id: str) -> Login | None:
        row = self._by_id.get(login_id)
        if row is None:
            return None
        await self._context.store.run(rows.delete_login, login_id)
        self._forget(login_id)
        return as_login(row)

    async def lose(self, login_id: str, why: str) -> LoginRow | None:
        """It works no longer. Gives the login, if that is news."""
        row = self._by_id.get(login_id)
        if row is None or row.lost is not None:
            return None
        lost = evolve(row, lost=why[:500])
        await self._context.store.run(rows.put_login, lost)
        self._take(lost)
        return lost

    async def regain(self, login_id: str) -> None:
        """It works again."""
        row = self._by_id.get(login_id)
        if row is not None and row.lost is not None:
            found = evolve(row, lost=None)
            await self._context.store.run(rows.put_login, found)
            self._take(found)

    def _take(self, row: LoginRow) -> None:
        self._by_id[row.login_id] = row
        self._by_person[row.person_id] = row

    def _forget(self, login_id: str) -> None:
        row = self._by_id.pop(login_id, None)
        if row is not None and self._by_person.get(row.person_id) is row:
            del self._by_person[row.person_id]


def as_login(row: LoginRow) -> Login:
    return Login(
        id=LoginId(row.login_id),
        user_id=row.user_id,
        person=PersonId(row.person_id),
        name=row.name,
        credentials=row.credentials,
    )
