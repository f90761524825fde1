"""Accounts as the rest of the server asks for them: who exists, what they may do, and changing that."""

from homeserver.runtime.caches import Lru
from homeserver.services.users import invalidation
from homeserver.services.users.passwords import Passwords
from homeserver.services.users.sessions import Sessions
from matrix.errors import Forbidden, MatrixError, NotFound
from matrix.ids import UserId
from storage import users as rows
from storage.change import Change, Entry
from storage.commit import Committer
from storage.database import Database
from storage.users import User

MAX_CACHED = 50_000


class UserLocked(MatrixError):
    """Source: client-server API, "Account locking"."""

    def __init__(self) -> None:
        super().__init__(401, "M_USER_LOCKED", "This account has been locked", soft_logout=True)


class Accounts:
    """`hear` reads the stream."""

    def __init__(self, *, db: Database, commit: Committer, sessions: Sessions, passwords: Passwords) -> None:
        self._db = db
        self._commit = commit
        self._sessions = sessions
        self._passwords = passwords
        self._users: Lru[str, User | None] = Lru("users", MAX_CACHED)

    def hear(self, entries: list[Entry]) -> None:
        for user_id in invalidation.users_in(entries):
            self.forget(user_id)

    def forget(self, user_id: str) -> None:
        """What is remembered of the account and its sessions may no longer be true.

        For after a commit: the stream tells it too, but later if another process's commit has to be read first.
        """
        self._users.invalidate(user_id)
        self._sessions.forget(user_id)

    async def find(self, user_id: str) -> User | None:
        """The account of a user of ours, deactivated ones too; None if there never was one."""
        known = self._users.get(user_id)
        if known is not None:
            return known
        version = self._users.version
        user = await self._db.read(rows.find_user, user_id)
        if user is not None:
            self._users.set_if_unchanged(user_id, user, version)
        return user

    async def get(self, user_id: str) -> User:
        """Raises: NotFound."""
        user = await self.find(user_id)
        if user is None:
            raise NotFound("User not found")
        return user

    async def check_not_suspended(self, user_id: str) -> None:
        """Raises: Forbidden M_USER_SUSPENDED. Source: client-server API, "Account suspension"."""
        user = await self.find(user_id)
        if user is not None and user.is_suspended:
            raise Forbidden("You cannot perform this action while suspended.", "M_USER_SUSPENDED")

    async def set_flags(
        self,
        user_id: UserId,
        *,
        admin: bool | None = None,
        locked: bool | None = None,
        suspended: bool | None = None,
        shadow_banned: bool | None = None,
        user_type: str | None = None,
    ) -> None:
        """Changes what is given. Raises: NotFound."""
        await self.get(user_id)
        row = (user_id, admin, locked, suspended, shadow_banned, user_type)
        await self._change(user_id, Change().put(rows.SET_FLAGS, row))

    async def set_password(self, user_id: UserId, password: str) -> None:
        """Replaces the password, whose sessions go on. Raises: BadRequest if it will not do."""
        self._passwords.check_new(password)
        password_hash = await self._passwords.hash(password)
        await self._change(user_id, Change().put(rows.SET_PASSWORD, (user_id, password_hash)))

    async def set_password_hash(self, user_id: UserId, password_hash: str) -> None:
        """The same password in another hash."""
        await self._change(user_id, Change().put(rows.SET_PASSWORD, (user_id, password_hash)))

    async def reactivate(self, user_id: UserId, password: str | None) -> None:
        """Opens a deactivated account again. Without a password only another way of login leads in."""
        password_hash = None if password is None else await self._passwords.hash(password)
        await self._change(user_id, Change().put(rows.REACTIVATE, (user_id, password_hash)))

    async def _change(self, user_id: UserId, change: Change) -> None:
        invalidation.announce(change, user_id)
        await self._commit(change)
        self.forget(user_id)
