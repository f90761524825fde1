"""New accounts: which names may be had, and making them, for clients, guests, bridges and admins.

Source: client-server API, "Account registration"; appendices, "User Identifiers".
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from appservice.registration import Registration as Service
from appservice.registry import Registry
from homeserver.runtime.clock import Clock
from homeserver.services.users import invalidation
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.passwords import Passwords
from matrix.errors import BadRequest, MatrixError
from matrix.ids import BadIdentifier, ServerName, UserId, is_new_localpart
from storage import profiles as profile_rows
from storage import registration_tokens as token_rows
from storage import threepids as threepid_rows
from storage import users as rows
from storage.change import AlreadyThere, Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database

# Numbered localparts that turn out to be taken (by users of an imported Synapse) are skipped, so many at once.
_NUMBERS_TRIED = 20


@frozen
class CheckedEmail:
    """An address of which it was shown that it is the new user's."""

    address: str
    validated_ms: int

    def row(self, user_id: UserId, now_ms: int) -> tuple[object, ...]:
        return "email", self.address, user_id, self.validated_ms, now_ms


@frozen
class NewAccount:
    """`localpart` None: a number. `password` None: nobody logs in with one."""

    localpart: str | None = None
    password: str | None = None
    is_admin: bool = False
    is_guest: bool = False
    user_type: str | None = None
    displayname: str | None = None
    appservice_id: str | None = None
    registration_token: str | None = None
    email: CheckedEmail | None = None


OnRegistered = Callable[[UserId], Awaitable[None]]


class UserInUse(BadRequest):
    def __init__(self) -> None:
        super().__init__("User ID already taken.", "M_USER_IN_USE")


class Usernames:
    """Which user ids new accounts may have. `allow_underscore`: also those that begin as bridges' do."""

    def __init__(
        self, *, accounts: Accounts, appservices: Registry, server_name: ServerName, allow_underscore: bool = False
    ) -> None:
        self._allow_underscore = allow_underscore
        self._accounts = accounts
        self._appservices = appservices
        self._server_name = server_name

    async def check(self, localpart: str, *, guest: UserId | None = None) -> UserId:
        """The user id that the name makes. `guest` may take its own again.

        Raises: BadRequest M_INVALID_USERNAME, M_EXCLUSIVE, M_USER_IN_USE.
        """
        user_id = self._new_user_id(localpart)
        if localpart.isdigit() and user_id != guest:
            raise _invalid("Numeric user IDs are reserved for guest users.")
        if self._appservices.exclusive_owner(user_id) is not None:
            raise BadRequest("This user ID is reserved by an application service.", "M_EXCLUSIVE")
        user = await self._accounts.find(user_id)
        if user is not None and user_id != guest:
            raise UserInUse()
        return user_id

    def _new_user_id(self, localpart: str) -> UserId:
        if not localpart or not is_new_localpart(localpart):
            raise _invalid("User ID can only contain characters a-z, 0-9, or '=_-./+'")
        if localpart.startswith("_") and not self._allow_underscore:
            raise _invalid("User ID may not begin with _")
        return self.user_id_of(localpart)

    def user_id_of(self, localpart: str) -> UserId:
        try:
            return UserId.parse(f"@{localpart}:{self._server_name}")
        except BadIdentifier as error:
            raise _invalid(f"Not a user ID: {error}") from error

    async def is_free(self, user_id: UserId) -> bool:
        """Has nobody the user id, and no application service reserved it?"""
        return self._appservices.exclusive_owner(user_id) is None and await self._accounts.find(user_id) is None

    async def check_for_appservice(self, localpart: str, service: Service) -> UserId:
        """The user id of a bridge's user, which may be of the older, wider grammar.

        Raises: BadRequest M_EXCLUSIVE outside its namespace, M_USER_IN_USE.
        """
        user_id = self.user_id_of(localpart)
        owner = self._appservices.exclusive_owner(user_id)
        if not service.owns_user(user_id) or (owner is not None and owner.id != service.id):
            raise BadRequest("The user ID is not in the application service's namespace.", "M_EXCLUSIVE")
        if await self._accounts.find(user_id) is not None:
            raise UserInUse()
        return user_id


class Registration:
    """`on_registered` are awaited after each new account that is no bridge's."""

    def __init__(
        self,
        *,
        db: Database,
        commit: Committer,
        clock: Clock,
        accounts: Accounts,
        passwords: Passwords,
        usernames: Usernames,
        on_registered: Sequence[OnRegistered] = (),
    ) -> None:
        self._db = db
        self._commit = commit
        self._clock = clock
        self._accounts = accounts
        self._passwords = passwords
        self._usernames = usernames
        self._on_registered = on_registered

    async def register(self, new: NewAccount) -> UserId:
        """Makes an account for a person or a guest. Raises: BadRequest."""
        try:
            if new.localpart is None:
                return await self._register_numbered(new)
            user_id = await self._usernames.check(new.localpart)
            return await self._create(user_id, new)
        except MatrixError:
            await self.give_back(new.registration_token)
            raise

    async def check_name(self, localpart: str, *, guest: UserId | None = None) -> UserId:
        """As Usernames.check."""
        return await self._usernames.check(localpart, guest=guest)

    def check_password(self, password: str) -> None:
        """Raises: BadRequest for a password that will not do."""
        self._passwords.check_new(password)

    async def give_back(self, token: str | None) -> None:
        """A registration that a token was reserved for does not take place."""
        if token is not None:
            await self._db.run(token_rows.release, [token])

    async def register_for_appservice(self, localpart: str, service: Service) -> UserId:
        """Makes a user of a bridge. Raises: BadRequest."""
        user_id = await self._usernames.check_for_appservice(localpart, service)
        return await self._create(user_id, NewAccount(localpart, appservice_id=service.id))

    async def make_sender(self, service: Service) -> None:
        """Makes a service's own user, which nobody registers, if it is not there."""
        if await self._accounts.find(service.sender) is None:
            # Another process may do the same at this moment.
            with contextlib.suppress(UserInUse):
                await self._create(service.sender, NewAccount(appservice_id=service.id))

    async def upgrade_guest(self, user_id: UserId, password: str, email: CheckedEmail | None = None) -> None:
        """Makes a full user of a guest, who keeps the user id. Raises: BadRequest."""
        self._passwords.check_new(password)
        change = Change().put(rows.UPGRADE_GUEST, (user_id, await self._passwords.hash(password)))
        if email is not None:
            change.put(threepid_rows.ADD, email.row(user_id, self._clock.now_ms()))
        invalidation.announce(change, user_id)
        await self._commit(change)
        self._accounts.forget(user_id)
        await self.tell(user_id)

    async def _register_numbered(self, new: NewAccount) -> UserId:
        for _ in range(_NUMBERS_TRIED):
            user_id = self._usernames.user_id_of(str(await self._db.run(rows.next_number)))
            if await self._usernames.is_free(user_id):
                return await self._create(user_id, new)
        raise BadRequest("Choose a user name", "M_INVALID_USERNAME")

    async def _create(self, user_id: UserId, new: NewAccount) -> UserId:
        change = await self.prepare(user_id, new)
        change.put(rows.ADD, await self.user_row(user_id, new))
        try:
            await self._commit(change)
        except AlreadyThere as error:
            raise UserInUse() from error
        if new.appservice_id is None:
            await self.tell(user_id)
        return user_id

    async def prepare(self, user_id: UserId, new: NewAccount) -> Change:
        """All of an account but the row that makes it."""
        change = Change()
        profile = {"displayname": new.displayname or user_id.localpart}
        change.put(profile_rows.PUT, profile_rows.profile_row(user_id, profile))
        change.announce(Entry(Kind.PROFILE, user_id=user_id, body={"fields": ["displayname"]}))
        if new.email is not None:
            change.put(threepid_rows.ADD, new.email.row(user_id, self._clock.now_ms()))
        if new.registration_token is not None:
            change.put(token_rows.COMPLETE, (new.registration_token,))
        return change

    async def user_row(self, user_id: UserId, new: NewAccount) -> tuple[object, ...]:
        """The account itself, for storage.users.ADD. Raises: BadRequest for a password that will not do."""
        password_hash = None
        if new.password is not None:
            self._passwords.check_new(new.password)
            password_hash = await self._passwords.hash(new.password)
        now_ms = self._clock.now_ms()
        return user_id, password_hash, now_ms, new.is_admin, new.is_guest, new.appservice_id, new.user_type

    async def tell(self, user_id: UserId) -> None:
        """There is a new account, a guest's too. To be called by who makes one out of `prepare`."""
        for tell in self._on_registered:
            await tell(user_id)


def _invalid(message: str) -> BadRequest:
    return BadRequest(message, "M_INVALID_USERNAME")
