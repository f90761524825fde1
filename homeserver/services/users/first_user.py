"""The first account: made by whoever has the link that an empty server writes to its log."""

import secrets

from homeserver.services.users.registration import NewAccount, Registration, Usernames
from matrix.errors import Forbidden
from matrix.ids import UserId
from storage import users as rows
from storage.commit import Committer
from storage.database import Database


class FirstUser:
    """An administrator, once."""

    def __init__(self, *, db: Database, commit: Committer, registration: Registration, usernames: Usernames) -> None:
        self._db = db
        self._commit = commit
        self._registration = registration
        self._usernames = usernames

    async def setup_token_if_empty(self) -> str | None:
        """The token that makes the first account; None if there are accounts. The same one until it is used."""
        if await self._db.read(rows.has_users):
            return None
        return await self._db.run(rows.put_setup_token, secrets.token_urlsafe(24))

    async def is_open(self, token: str) -> bool:
        """Can the account be made with this token?"""
        return await self._db.read(rows.find_setup_token) == token and not await self._db.read(rows.has_users)

    async def create(self, token: str, localpart: str, password: str) -> UserId:
        """The new administrator. Raises: Forbidden if the token has been used; BadRequest."""
        # Before any hashing: whoever has no token costs nothing.
        if await self._db.read(rows.find_setup_token) != token:
            raise _used()
        user_id = await self._usernames.check(localpart)
        new = NewAccount(localpart, password, is_admin=True)
        change = await self._registration.prepare(user_id, new)
        row = await self._registration.user_row(user_id, new)
        if not await self._commit(change.run(lambda cur: rows.add_first(cur, token, row))):
            raise _used()
        await self._registration.tell(user_id)
        return user_id


def _used() -> Forbidden:
    return Forbidden("This link has been used or is too old.")
