"""Logging in with a password or a login token, and what every kind of login shares.

Source: client-server API, "Login".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.users.accounts import Accounts, UserLocked
from homeserver.services.users.passwords import Passwords
from homeserver.services.users.sessions import NewSession, Sessions, Tokens
from homeserver.services.users.settings import LoginTokenSettings
from homeserver.services.users.tokens import new_device_id, new_token, token_hash
from homeserver.web.call import Call
from homeserver.web.params import Fields
from matrix.errors import BadRequest, Forbidden
from matrix.ids import BadIdentifier, DeviceId, ServerName, UserId
from storage import devices as device_rows
from storage import sessions as rows
from storage.change import Change
from storage.commit import Committer
from storage.database import Database
from storage.users import User

# The display name of a device is public and shown everywhere.
MAX_DEVICE_NAME = 100


@frozen
class LoginLimits:
    """rc_login, for logins of any kind. Wrong passwords are counted by PasswordCheck."""

    address: RateLimit
    account: RateLimit


@frozen
class LoggedIn:
    user_id: UserId
    device_id: DeviceId
    tokens: Tokens

    def fields(self) -> dict[str, Any]:
        """The members of the answer."""
        return {**user_fields(self.user_id), "device_id": self.device_id, **self.tokens.fields()}


def user_fields(user_id: UserId) -> dict[str, Any]:
    """What a login or registration says of the user. Old clients still read `home_server`."""
    return {"user_id": user_id, "home_server": user_id.domain}


# From the request to the user, whose account is there. Raises: MatrixError.
LoginMethod = Callable[[Call, Fields], Awaitable[UserId]]


@frozen
class DeviceWish:
    """What a login or registration says about its device. `inhibit_login`: a registration wants none."""

    device_id: DeviceId | None = None
    display_name: str | None = None
    wants_refresh_token: bool = False
    inhibit_login: bool = False

    @classmethod
    def read(cls, body: Fields) -> "DeviceWish":
        return cls(
            body.optional_parsed("device_id", DeviceId),
            read_device_name(body),
            body.boolean("refresh_token", False),
            body.boolean("inhibit_login", False),
        )


def read_device_name(body: Fields) -> str | None:
    """The name for a new device, cut to its limit: no login fails for it."""
    name = body.optional_text("initial_device_display_name")
    return None if name is None else name[:MAX_DEVICE_NAME]


# Who has an address: medium and address to a user of ours.
OwnerOf = Callable[[str, str], Awaitable[UserId | None]]


async def nobody_owns(medium: str, address: str) -> UserId | None:
    return None


class PasswordCheck:
    """Whose password is it? For login and for user-interactive authentication.

    `failed_attempts`: rc_login.failed_attempts, by account.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        passwords: Passwords,
        server_name: ServerName,
        failed_attempts: RateLimit,
        owner_of: OwnerOf = nobody_owns,
    ) -> None:
        self.settings = passwords.settings
        self._accounts = accounts
        self._passwords = passwords
        self._server_name = server_name
        self._failed_attempts = failed_attempts
        self._owner_of = owner_of

    async def identify(self, body: Fields) -> UserId:
        """The user named by `identifier` or the older `user`. Raises: Forbidden if it is nobody of ours."""
        identifier = body.optional_object("identifier")
        if identifier is None:
            # Old clients.
            return await self._owner(body) if "medium" in body else self.user_id_of(body.text("user"))
        kind = identifier.text("type")
        if kind == "m.id.thirdparty":
            return await self._owner(identifier)
        if kind == "m.id.phone":
            raise _wrong()
        if kind != "m.id.user":
            raise BadRequest("Unknown login identifier type", "M_UNKNOWN")
        return self.user_id_of(identifier.text("user"))

    async def _owner(self, identifier: Fields) -> UserId:
        """Whose address it is. Raises: Forbidden."""
        owner = await self._owner_of(identifier.text("medium"), identifier.text("address"))
        if owner is None:
            raise _wrong()
        return owner

    def user_id_of(self, name: str) -> UserId:
        """The id of a user of ours, named by it or by the localpart. Raises: Forbidden."""
        try:
            user_id = UserId.parse(name if name.startswith("@") else f"@{name}:{self._server_name}")
        except BadIdentifier as error:
            raise _wrong() from error
        if user_id.domain != self._server_name:
            raise _wrong()
        return user_id

    async def check(self, user_id: UserId, password: str) -> User:
        """The user whose password it is. Capitals in the name do not matter if no account is written so.

        Raises: Forbidden; LimitExceeded after too many wrong ones.
        """
        user = await self._accounts.find(user_id) or await self._accounts.find(user_id.lower())
        key = user_id.lower()
        self._failed_attempts.check(key)
        verdict = await self._passwords.verify(password, None if user is None else user.password_hash)
        if user is None or not verdict.is_right:
            self._failed_attempts.take(key)
            if user is not None and user.is_deactivated:
                raise Forbidden("This account has been deactivated", "M_USER_DEACTIVATED")
            raise _wrong()
        if verdict.is_outdated:
            await self._accounts.set_password_hash(user.user_id, await self._passwords.hash(password))
        return user


class Login:
    """`methods` by their types; other parts add theirs: JWT, single sign-on. `is_exempt`: from the limits."""

    def __init__(
        self,
        *,
        db: Database,
        commit: Committer,
        accounts: Accounts,
        sessions: Sessions,
        limits: LoginLimits,
        methods: Mapping[str, LoginMethod],
        is_exempt: Callable[[Call], bool],
    ) -> None:
        self._db = db
        self._commit = commit
        self._accounts = accounts
        self._sessions = sessions
        self._limits = limits
        self._methods = dict(methods)
        self._is_exempt = is_exempt

    async def log_in(self, call: Call) -> LoggedIn:
        """A new session for whoever proves to be a user. Raises: MatrixError."""
        is_exempt = self._is_exempt(call)
        self._limits.address.take(None if is_exempt else call.client_ip)
        body = call.json()
        wish = DeviceWish.read(body)
        method = self._methods.get(body.text("type"))
        if method is None:
            raise BadRequest("Unknown login type", "M_UNKNOWN")
        user_id = await method(call, body)
        self._limits.account.take(None if is_exempt else user_id)
        return await self.open(user_id, wish)

    async def answer_registration(self, user_id: UserId, wish: DeviceWish) -> dict[str, Any]:
        """What a new user's client is told, with a session unless it wants none."""
        return user_fields(user_id) if wish.inhibit_login else (await self.open(user_id, wish)).fields()

    async def open(self, user_id: UserId, wish: DeviceWish) -> LoggedIn:
        """A new session for a user who has proved to be one. Raises: Forbidden, UserLocked."""
        user = await self._accounts.get(user_id)
        if user.is_deactivated:
            raise Forbidden("This account has been deactivated", "M_USER_DEACTIVATED")
        if user.is_locked:
            raise UserLocked()
        known = False
        if wish.device_id is not None:
            device = await self._db.run(device_rows.look_up_wished, user_id, wish.device_id)
            if device.is_signing_key:
                raise Forbidden("The device id is a cross-signing key's")
            known = device.is_known
        device_id = wish.device_id or new_device_id()
        new = NewSession(user_id, device_id, not known, wish.display_name, wish.wants_refresh_token, user.appservice_id)
        change = Change()
        tokens = self._sessions.open(change, new)
        await self._commit(change)
        if known:
            self._sessions.forget(user_id)
        return LoggedIn(user_id, device_id, tokens)


class PasswordLogin:
    """The login method m.login.password."""

    def __init__(self, *, check: PasswordCheck) -> None:
        self._check = check

    async def __call__(self, call: Call, body: Fields) -> UserId:
        if not self._check.settings.enabled:
            raise BadRequest("Login with a password is disabled on this server", "M_UNKNOWN")
        user_id = await self._check.identify(body)
        return (await self._check.check(user_id, body.text("password"))).user_id


class LoginTokens:
    """m.login.token: tokens that a logged-in client gets for another, each good for one login."""

    def __init__(self, *, db: Database, clock: Clock, settings: LoginTokenSettings) -> None:
        self.settings = settings
        self._db = db
        self._clock = clock

    async def make(self, user_id: UserId, lifetime_ms: int | None = None) -> tuple[str, int]:
        """A token, and for how many ms it is good."""
        lifetime_ms = lifetime_ms or self.settings.timeout_ms
        token = new_token("hlt")
        await self._db.run(rows.add_login_token, token_hash(token), user_id, self._clock.now_ms() + lifetime_ms)
        return token, lifetime_ms

    async def __call__(self, call: Call, body: Fields) -> UserId:
        """The login method."""
        token = token_hash(body.text("token"))
        user_id = await self._db.run(rows.take_login_token, token, self._clock.now_ms())
        if user_id is None:
            raise Forbidden("Invalid login token")
        return user_id

    async def trim(self) -> None:
        """Drops tokens that nobody used. Called every hour or so."""
        await self._db.run(rows.trim_login_tokens, self._clock.now_ms())


def _wrong() -> Forbidden:
    """The same for a wrong name as for a wrong password."""
    return Forbidden("Invalid username or password")
