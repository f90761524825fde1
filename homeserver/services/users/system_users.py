"""Accounts in whose name the server itself acts: nobody logs in to them, and nobody else may have their names."""

from contextlib import suppress

from homeserver.services.users.accounts import Accounts
from homeserver.services.users.profiles import AVATAR_URL, DISPLAYNAME, Profiles
from homeserver.services.users.registration import NewAccount, Registration
from matrix.ids import UserId
from storage import users as rows
from storage.change import AlreadyThere
from storage.commit import Committer
from storage.database import Database


class SystemUsers:
    def __init__(
        self,
        *,
        database: Database,
        commit: Committer,
        accounts: Accounts,
        registration: Registration,
        profiles: Profiles,
    ) -> None:
        self._database = database
        self._commit = commit
        self._accounts = accounts
        self._registration = registration
        self._profiles = profiles

    async def ensure_if_any(self, user_id: UserId, displayname: str | None, avatar_url: str | None) -> None:
        """As `ensure`, but not on a server that has no users yet: the first is the administrator's."""
        if await self._database.read(rows.has_users):
            await self.ensure(user_id, displayname, avatar_url)

    async def ensure(self, user_id: UserId, displayname: str | None, avatar_url: str | None) -> None:
        """Makes the account if there is none, and gives it this profile. Raises: BadRequest for a bad profile."""
        await self.make(user_id, displayname)
        profile = (await self._profiles.of_local_users([user_id]))[user_id]
        for name, value in ((DISPLAYNAME, displayname or user_id.localpart), (AVATAR_URL, avatar_url or "")):
            if (profile.get(name) or "") != value:
                await self._profiles.set_field(user_id, name, value, by_admin=True)

    async def make(self, user_id: UserId, displayname: str | None = None) -> None:
        """Makes the account if there is none."""
        if await self._accounts.find(user_id) is not None:
            return
        new = NewAccount(displayname=displayname)
        change = await self._registration.prepare(user_id, new)
        change.put(rows.ADD, await self._registration.user_row(user_id, new))
        # Another process may be faster.
        with suppress(AlreadyThere):
            await self._commit(change)
        self._accounts.forget(user_id)
