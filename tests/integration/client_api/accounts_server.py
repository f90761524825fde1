"""A server of accounts alone, over a real database: everything of users, wired, and clients for it."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.task import Clock as FakeReactor

from appservice.registration import Registration as AppserviceRegistration
from appservice.registry import Registry
from homeserver.admin_api.register import SharedSecretApi
from homeserver.client_api.account import AccountApi
from homeserver.client_api.account_data import AccountDataApi
from homeserver.client_api.capabilities import Abilities, CapabilitiesApi
from homeserver.client_api.devices import DevicesApi
from homeserver.client_api.filters import FiltersApi
from homeserver.client_api.login import LoginApi, LoginTokenApi
from homeserver.client_api.moderation import ModerationApi
from homeserver.client_api.profile import ProfileApi
from homeserver.client_api.register import BeforeRegisterApi, RegisterApi
from homeserver.client_api.tags import TagsApi
from homeserver.client_api.versions import VersionsApi, WellKnown
from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.runtime.tasks import Tasks
from homeserver.services.users.account_data import AccountData
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.appservice_login import AppserviceLogin
from homeserver.services.users.appservice_tokens import AppserviceTokens
from homeserver.services.users.authenticator import Authenticator
from homeserver.services.users.deactivation import Deactivation
from homeserver.services.users.devices import Devices
from homeserver.services.users.filters import Filters
from homeserver.services.users.first_user import FirstUser
from homeserver.services.users.ignored_users import IgnoredUsers
from homeserver.services.users.last_seen import LastSeen
from homeserver.services.users.login import Login, LoginLimits, LoginTokens, PasswordCheck, PasswordLogin
from homeserver.services.users.passwords import Passwords
from homeserver.services.users.profiles import Profiles
from homeserver.services.users.registration import Registration, Usernames
from homeserver.services.users.registration_tokens import RegistrationTokens
from homeserver.services.users.sessions import Sessions
from homeserver.services.users.settings import (
    LoginTokenSettings,
    PasswordSettings,
    ProfileSettings,
    RegistrationSettings,
    SessionSettings,
)
from homeserver.services.users.shared_secret import SharedSecretRegistration
from homeserver.services.users.stages import PasswordStage
from homeserver.services.users.ui_auth import DUMMY, PASSWORD, REGISTRATION_TOKEN, Dummy, UiAuth
from homeserver.web.router import Router
from matrix.ids import ServerName, UserId
from storage.commit import Committer
from storage.database import Database
from storage.device_keys import rows_for_deleted_devices
from storage.stream import Stream, entry_body
from tests.support.http import MemoryClient, Response

SERVER = ServerName("hearth.test")
V3 = "/_matrix/client/v3"
SECRET = "a shared secret"


BRIDGE = """
id: bridge
url:
as_token: as_token
hs_token: hs_token
sender_localpart: bridge
namespaces:
  users: [{exclusive: true, regex: "@_bridge_"}]
"""


def _open_registration() -> RegistrationSettings:
    return RegistrationSettings(enabled=True, allow_guests=True, shared_secret=SECRET)


@define
class Settings:
    """`burst` is that of all rate limits."""

    registration: RegistrationSettings = field(factory=_open_registration)
    sessions: SessionSettings = field(factory=SessionSettings)
    passwords: PasswordSettings = field(factory=lambda: PasswordSettings(pepper="pepper"))
    login_tokens: LoginTokenSettings = field(factory=lambda: LoginTokenSettings(enabled=True))
    profiles: ProfileSettings = field(factory=ProfileSettings)
    ui_auth_timeout_ms: int = 0
    burst: float = 1000


@define(eq=False, slots=False)
class Server:
    """`clock` moves by hand. `left` are the deactivated users who left their rooms."""

    dsn: str
    settings: Settings = field(factory=Settings)
    left: list[str] = field(factory=list)
    profile_changes: list[str] = field(factory=list)
    registered: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.clock = FakeReactor()
        self.clock.advance(1_700_000_000)
        clock = Clock(self.clock)
        self.stream = Stream(0, catch_up=lambda: None)
        self.db = Database(self.dsn, reactor=reactor, threads=2)
        self.committer = Committer(
            self.dsn, reactor=reactor, published=self.stream.publish, instance="test", entry_body=entry_body
        )
        self.db.start()
        self.committer.start()
        self._build_services(clock)
        self._build_router(clock)

    def _build_services(self, clock: Clock) -> None:
        settings, db, commit = self.settings, self.db, self.committer
        self.appservices = Registry([AppserviceRegistration.read(BRIDGE, SERVER)])
        self.appservice_requests: list[str] = []
        self.tokens = AppserviceTokens(registry=self.appservices, on_request=self.appservice_requests.append)
        self.tasks = Tasks(clock=clock)
        self.passwords = Passwords(settings=settings.passwords, reactor=reactor)
        self.sessions = Sessions(db=db, commit=commit, clock=clock, settings=settings.sessions)
        self.accounts = Accounts(db=db, commit=commit, sessions=self.sessions, passwords=self.passwords)
        self.last_seen = LastSeen(db=db, clock=clock)
        self.devices = Devices(
            db=db,
            commit=commit,
            sessions=self.sessions,
            last_seen=self.last_seen,
            removals=[rows_for_deleted_devices],
        )
        self.usernames = Usernames(accounts=self.accounts, appservices=self.appservices, server_name=SERVER)
        self.registration = Registration(
            db=db,
            commit=commit,
            clock=clock,
            accounts=self.accounts,
            passwords=self.passwords,
            usernames=self.usernames,
            on_registered=[self._registered],
        )
        self.check = PasswordCheck(
            accounts=self.accounts,
            passwords=self.passwords,
            server_name=SERVER,
            failed_attempts=RateLimit(0.1, settings.burst, clock),
        )
        self.login_tokens = LoginTokens(db=db, clock=clock, settings=settings.login_tokens)
        self.login = Login(
            db=db,
            commit=commit,
            accounts=self.accounts,
            sessions=self.sessions,
            limits=LoginLimits(
                address=RateLimit(0.1, settings.burst, clock),
                account=RateLimit(0.1, settings.burst, clock),
            ),
            methods={
                "m.login.password": PasswordLogin(check=self.check),
                "m.login.token": self.login_tokens,
                "m.login.application_service": AppserviceLogin(
                    accounts=self.accounts, tokens=self.tokens, check=self.check
                ),
            },
            is_exempt=self.tokens.is_exempt,
        )
        self.registration_tokens = RegistrationTokens(db=db, clock=clock)
        self.ui_auth = UiAuth(
            db=db,
            clock=clock,
            sessions=self.sessions,
            stages={
                DUMMY: Dummy(),
                PASSWORD: PasswordStage(check=self.check),
                REGISTRATION_TOKEN: self.registration_tokens,
            },
            timeout_ms=settings.ui_auth_timeout_ms,
        )
        self.deactivation = Deactivation(
            db=db,
            commit=commit,
            tasks=self.tasks,
            accounts=self.accounts,
            devices=self.devices,
            on_deactivated=[self._leave],
        )
        self.profiles = Profiles(
            db=db,
            commit=commit,
            accounts=self.accounts,
            settings=settings.profiles,
            server_name=SERVER,
            on_profile_change=self._profile_changed,
        )
        self.account_data = AccountData(db=db, commit=commit, computed={"m.push_rules": self._push_rules})
        self.ignored_users = IgnoredUsers(db=db)
        self.filters = Filters(db=db)
        self.first_user = FirstUser(db=db, commit=commit, registration=self.registration, usernames=self.usernames)
        for part in (self.accounts, self.profiles, self.ignored_users):
            self.stream.read_by(part.hear)

    def _build_router(self, clock: Clock) -> None:
        authenticator = Authenticator(
            db=self.db,
            sessions=self.sessions,
            accounts=self.accounts,
            last_seen=self.last_seen,
            appservices=self.tokens,
        )
        self.router = Router(authenticate=authenticator)
        limit = RateLimit(0.1, self.settings.burst, clock)
        shared_secret = SharedSecretRegistration(
            db=self.db, clock=clock, registration=self.registration, secret=self.settings.registration.shared_secret
        )
        for api in (
            VersionsApi(unstable_features={"org.example": True}, well_known=WellKnown(client={"m.homeserver": {}})),
            RegisterApi(
                settings=self.settings.registration,
                registration=self.registration,
                sessions=self.sessions,
                login=self.login,
                ui_auth=self.ui_auth,
                appservices=self.tokens,
                limit=limit,
            ),
            BeforeRegisterApi(
                settings=self.settings.registration,
                usernames=self.usernames,
                tokens=self.registration_tokens,
                limit=limit,
            ),
            LoginApi(
                login=self.login,
                sessions=self.sessions,
                devices=self.devices,
                flows=[{"type": "m.login.password"}],
                refresh_limit=limit,
            ),
            LoginTokenApi(tokens=self.login_tokens, ui_auth=self.ui_auth, limit=limit),
            AccountApi(
                accounts=self.accounts,
                passwords=self.passwords,
                devices=self.devices,
                deactivation=self.deactivation,
                ui_auth=self.ui_auth,
            ),
            DevicesApi(devices=self.devices, ui_auth=self.ui_auth),
            ProfileApi(profiles=self.profiles, accounts=self.accounts, limit=limit),
            AccountDataApi(account_data=self.account_data),
            TagsApi(account_data=self.account_data),
            FiltersApi(filters=self.filters),
            CapabilitiesApi(abilities=Abilities(default_room_version="12"), profiles=self.profiles),
            ModerationApi(accounts=self.accounts, server_name=SERVER),
            SharedSecretApi(shared_secret=shared_secret, login=self.login),
        ):
            self.router.add(api)
        self._client = MemoryClient(self.router, reactor=self.clock)

    async def _registered(self, user_id: UserId) -> None:
        self.registered.append(user_id)

    async def _leave(self, user_id: UserId) -> None:
        self.left.append(user_id)

    async def _profile_changed(self, user_id: UserId) -> None:
        self.profile_changes.append(user_id)

    async def _push_rules(self, user_id: UserId) -> dict[str, Any]:
        return {"global": {}}

    async def ask(self, method: str, path: str, json: Any = None, token: str | None = None) -> Response:
        """A request; `path` without a leading /_ is one of v3."""
        whole = path if path.startswith(("/_", "/.")) else V3 + path
        return await self._client.request(method, whole, json=json, token=token)

    async def register(self, name: str = "alice", password: str = "correct horse", **body: Any) -> "User":
        """A new user by the dummy stage."""
        json = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}, **body}
        response = await self.ask("POST", "/register", json)
        assert response.status == 200, response
        return User(self, response.json, password)

    async def login_as(self, name: str, password: str = "correct horse", **body: Any) -> Response:
        identifier = {"type": "m.id.user", "user": name}
        return await self.ask(
            "POST", "/login", {"type": "m.login.password", "identifier": identifier, "password": password, **body}
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.dsn)
        try:
            cur = connection.cursor()
            cur.execute(sql)
            return cur.fetchall() if cur.description else []
        finally:
            connection.commit()
            connection.close()

    def stop(self) -> None:
        self.committer.stop()
        self.db.stop()


class User:
    """A user's client. `session` is the answer of the login."""

    def __init__(self, server: Server, session: dict[str, Any], password: str) -> None:
        self.server = server
        self.session = session
        self.password = password

    @property
    def user_id(self) -> str:
        return str(self.session["user_id"])

    @property
    def device_id(self) -> str:
        return str(self.session["device_id"])

    @property
    def token(self) -> str:
        return str(self.session["access_token"])

    @property
    def auth(self) -> dict[str, Any]:
        """What proves who they are, for user-interactive authentication."""
        identifier = {"type": "m.id.user", "user": self.user_id}
        return {"type": "m.login.password", "identifier": identifier, "password": self.password}

    async def ask(self, method: str, path: str, json: Any = None) -> Response:
        return await self.server.ask(method, path, json, self.token)

    async def get(self, path: str) -> Response:
        return await self.ask("GET", path)

    async def log_in_again(self, **body: Any) -> "User":
        response = await self.server.login_as(self.user_id, self.password, **body)
        assert response.status == 200, response
        return User(self.server, response.json, self.password)

    async def is_logged_in(self) -> bool:
        return (await self.get("/account/whoami")).status == 200


@pytest.fixture
def server(dsn: str) -> Iterator[Server]:
    """Accounts, with registration open."""
    server = Server(dsn)
    yield server
    server.stop()


@pytest.fixture
def make_server(dsn: str) -> Iterator[Any]:
    """`make_server(settings)` for a server with settings of the test's own."""
    servers: list[Server] = []

    def make(settings: Settings) -> Server:
        servers.append(Server(dsn, settings))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
