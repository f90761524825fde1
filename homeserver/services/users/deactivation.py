"""Closing accounts for good.

Source: client-server API, "Account deactivation".
"""

from collections.abc import Awaitable, Callable, Sequence

from homeserver.runtime.tasks import Tasks
from homeserver.services.users import invalidation
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.devices import Devices
from matrix.ids import UserId
from storage import account_data as account_data_rows
from storage import profiles as profile_rows
from storage import sessions as session_rows
from storage import users as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database

# Leaves the user's rooms and whatever else takes long. Called again after a restart until it has come back once.
OnDeactivated = Callable[[UserId], Awaitable[None]]


class Deactivation:
    """`on_deactivated` are called after the commit, in the background."""

    def __init__(
        self,
        *,
        db: Database,
        commit: Committer,
        tasks: Tasks,
        accounts: Accounts,
        devices: Devices,
        on_deactivated: Sequence[OnDeactivated] = (),
    ) -> None:
        self._db = db
        self._commit = commit
        self._tasks = tasks
        self._accounts = accounts
        self._devices = devices
        self._on_deactivated = on_deactivated

    async def deactivate(self, user_id: UserId, *, erase: bool = False) -> None:
        """Ends all sessions and makes login impossible; rooms are left in the background.

        `erase`: the profile goes too, and who comes later into a room sees the user's events redacted.
        Raises: NotFound.
        """
        await self._accounts.get(user_id)
        change = Change().put(rows.DEACTIVATE, (user_id, erase)).put(rows.ADD_LEAVING, (user_id,))
        await self._devices.remove_all(change, user_id)
        # A login that came between the list of devices and now leaves no token behind.
        change.put(session_rows.DELETE_ACCESS_OF_USER, (user_id,)).put(session_rows.DELETE_REFRESH_OF_USER, (user_id,))
        change.put(account_data_rows.DELETE_ALL, (user_id,))
        if erase:
            change.put(profile_rows.DELETE, (user_id,))
            change.announce(Entry(Kind.PROFILE, user_id=user_id, body={"fields": ["displayname", "avatar_url"]}))
        invalidation.announce(change, user_id)
        await self._commit(change)
        self._accounts.forget(user_id)
        self._tasks.background("users.leave_rooms", self._leave(user_id))

    async def resume(self) -> None:
        """Goes on where a process stopped. Called once at start."""
        for user_id in await self._db.read(rows.list_leaving):
            await self._leave(user_id)

    async def _leave(self, user_id: UserId) -> None:
        for leave in self._on_deactivated:
            await leave(user_id)
        await self._db.run(rows.have_left, user_id)
