"""Accounts, sessions and what a user keeps on the server, wired."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from appservice.registry import Registry
from homeserver.admin_api.register import SharedSecretApi
from homeserver.app.addresses import Contacts, build_contacts, contact_apis
from homeserver.app.core import Core
from homeserver.app.settings import Limits, UserSettings
from homeserver.client_api.account import AccountApi
from homeserver.client_api.account_data import AccountDataApi
from homeserver.client_api.auth_fallback import AuthFallbackApi
from homeserver.client_api.capabilities import Abilities, CapabilitiesApi
from homeserver.client_api.devices import DevicesApi
from homeserver.client_api.filters import FiltersApi
from homeserver.client_api.login import LoginApi, LoginTokenApi
from homeserver.client_api.moderation import ModerationApi
from homeserver.client_api.profile import ProfileApi
from homeserver.client_api.register import BeforeRegisterApi, RegisterApi
from homeserver.client_api.tags import TagsApi
from homeserver.client_api.whois import WhoisApi
from homeserver.services.appservices.users import Appear
from homeserver.services.users.account_data import AccountData
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.addresses import EmailStage, OnAddressRemoved
from homeserver.services.users.appservice_login import AppserviceLogin
from homeserver.services.users.appservice_tokens import AppserviceTokens, OnRequest
from homeserver.services.users.authenticator import Authenticator
from homeserver.services.users.deactivation import Deactivation
from homeserver.services.users.devices import Devices
from homeserver.services.users.filters import Filters
from homeserver.services.users.first_user import FirstUser
from homeserver.services.users.ignored_users import IgnoredUsers
from homeserver.services.users.last_seen import LastSeen
from homeserver.services.users.login import Login, LoginLimits, LoginTokens, PasswordCheck, PasswordLogin
from homeserver.services.users.passwords import Passwords
from homeserver.services.users.profile_access import ProfileAccess
from homeserver.services.users.profiles import Profiles, RemoteProfile
from homeserver.services.users.registration import Registration, Usernames
from homeserver.services.users.registration_tokens import RegistrationTokens
from homeserver.services.users.sessions import Sessions
from homeserver.services.users.shared_secret import SharedSecretRegistration
from homeserver.services.users.stages import PasswordStage
from homeserver.services.users.ui_auth import DUMMY, EMAIL, PASSWORD, REGISTRATION_TOKEN, Dummy, UiAuth
from matrix.ids import UserId
from storage.account_data import rows_for_deleted_devices as account_data_rows
from storage.device_keys import rows_for_deleted_devices
from storage.pushers import rows_for_deleted_devices as pusher_rows
from synapse_like_config.units import Rate

# By address: as many as an office of clients with five-minute tokens needs. Synapse has no limit.
REFRESHES = Rate(10, 200)

OnUser = Callable[[UserId], Awaitable[None]]


@frozen(kw_only=True)
class UserHooks:
    """What happens elsewhere when something happens to a user, and what others know of them."""

    share_a_room: Callable[[UserId, UserId], Awaitable[bool]]
    profile_changed: OnUser
    deactivated: OnUser
    backups_deleted: OnUser
    registered: OnUser
    check_avatar: Callable[[str], Awaitable[None]]
    address_removed: OnAddressRemoved
    push_rules_of: Callable[[UserId], Awaitable[dict[str, Any]]]
    remote_profile: RemoteProfile
    appservice_asks: OnRequest


@frozen(kw_only=True)
class Users:
    contacts: Contacts
    profile_access: ProfileAccess
    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    devices: Devices
    last_seen: LastSeen
    usernames: Usernames
    registration: Registration
    registration_tokens: RegistrationTokens
    login: Login
    login_tokens: LoginTokens
    ui_auth: UiAuth
    deactivation: Deactivation
    profiles: Profiles
    account_data: AccountData
    ignored: IgnoredUsers
    filters: Filters
    first_user: FirstUser
    authenticator: Authenticator
    appservice_tokens: AppserviceTokens


def build_users(core: Core, settings: UserSettings, hooks: UserHooks, appservices: Registry) -> Users:
    db, commit, clock = core.storage.database, core.storage.committer, core.clock
    appservice_tokens = AppserviceTokens(registry=appservices, on_request=hooks.appservice_asks)
    passwords = Passwords(settings=settings.passwords, reactor=core.reactor)
    sessions = Sessions(db=db, commit=commit, clock=clock, settings=settings.sessions)
    accounts = Accounts(db=db, commit=commit, sessions=sessions, passwords=passwords)
    last_seen = LastSeen(db=db, clock=clock)
    usernames = Usernames(
        accounts=accounts,
        appservices=appservices,
        server_name=core.server_name,
        allow_underscore=core.config.registration.allow_underscore_prefixed_registration,
    )
    devices = Devices(
        db=db,
        commit=commit,
        sessions=sessions,
        last_seen=last_seen,
        removals=[rows_for_deleted_devices, pusher_rows, account_data_rows],
    )
    registration = Registration(
        db=db,
        commit=commit,
        clock=clock,
        accounts=accounts,
        passwords=passwords,
        usernames=usernames,
        on_registered=[hooks.registered],
    )
    registration_tokens = RegistrationTokens(db=db, clock=clock)
    contacts = build_contacts(core, hooks.address_removed)
    limits, rates = Limits(clock), core.config.ratelimits
    check = PasswordCheck(
        accounts=accounts,
        passwords=passwords,
        server_name=core.server_name,
        failed_attempts=limits.make(rates.rc_login.failed_attempts),
        owner_of=contacts.addresses.owner_of,
    )
    login_tokens = LoginTokens(db=db, clock=clock, settings=settings.login_tokens)
    login = Login(
        db=db,
        commit=commit,
        accounts=accounts,
        sessions=sessions,
        limits=LoginLimits(address=limits.make(rates.rc_login.address), account=limits.make(rates.rc_login.account)),
        methods={
            "m.login.password": PasswordLogin(check=check),
            "m.login.token": login_tokens,
            "m.login.application_service": AppserviceLogin(accounts=accounts, tokens=appservice_tokens, check=check),
        },
        is_exempt=appservice_tokens.is_exempt,
    )
    ui_auth = UiAuth(
        db=db,
        clock=clock,
        sessions=sessions,
        stages={
            DUMMY: Dummy(),
            EMAIL: EmailStage(database=db, checks=contacts.checks),
            PASSWORD: PasswordStage(check=check),
            REGISTRATION_TOKEN: registration_tokens,
        },
        timeout_ms=settings.ui_auth_timeout_ms,
    )
    users = Users(
        contacts=contacts,
        profile_access=ProfileAccess(settings=settings.profiles, is_visible=hooks.share_a_room),
        accounts=accounts,
        sessions=sessions,
        passwords=passwords,
        devices=devices,
        last_seen=last_seen,
        usernames=usernames,
        registration=registration,
        registration_tokens=registration_tokens,
        login=login,
        login_tokens=login_tokens,
        ui_auth=ui_auth,
        deactivation=Deactivation(
            db=db,
            commit=commit,
            tasks=core.tasks,
            accounts=accounts,
            devices=devices,
            on_deactivated=[hooks.deactivated, hooks.backups_deleted, contacts.addresses.forget_all],
        ),
        profiles=Profiles(
            db=db,
            commit=commit,
            accounts=accounts,
            settings=evolve(settings.profiles, check_avatar=hooks.check_avatar),
            server_name=core.server_name,
            on_profile_change=hooks.profile_changed,
            remote=hooks.remote_profile,
        ),
        account_data=AccountData(db=db, commit=commit, computed={"m.push_rules": hooks.push_rules_of}),
        ignored=IgnoredUsers(db=db),
        filters=Filters(db=db),
        first_user=FirstUser(db=db, commit=commit, registration=registration, usernames=usernames),
        authenticator=Authenticator(
            db=db, sessions=sessions, accounts=accounts, last_seen=last_seen, appservices=appservice_tokens
        ),
        appservice_tokens=appservice_tokens,
    )
    for part in (accounts, users.profiles, users.ignored):
        core.storage.read_by(part.hear)
    return users


def user_apis(core: Core, users: Users, settings: UserSettings, appear: Appear) -> Sequence[object]:
    limits, rates = Limits(core.clock), core.config.ratelimits
    shared_secret = SharedSecretRegistration(
        db=core.storage.database,
        clock=core.clock,
        registration=users.registration,
        secret=settings.registration.shared_secret,
    )
    flows: list[dict[str, Any]] = [{"type": "m.login.password"}] if settings.passwords.enabled else []
    if settings.login_tokens.enabled:
        flows.append({"type": "m.login.token", "get_login_token": True})
    flows.append({"type": "m.login.application_service"})
    return [
        RegisterApi(
            settings=settings.registration,
            registration=users.registration,
            sessions=users.sessions,
            login=users.login,
            ui_auth=users.ui_auth,
            appservices=users.appservice_tokens,
            limit=limits.make(rates.rc_registration),
        ),
        BeforeRegisterApi(
            settings=settings.registration,
            usernames=users.usernames,
            tokens=users.registration_tokens,
            limit=limits.make(rates.rc_registration_token_validity),
        ),
        LoginApi(
            login=users.login,
            sessions=users.sessions,
            devices=users.devices,
            flows=flows,
            well_known=core.config.server.well_known_client(core.config.base_url),
            refresh_limit=limits.make(REFRESHES),
        ),
        LoginTokenApi(tokens=users.login_tokens, ui_auth=users.ui_auth, limit=limits.make(rates.rc_login.account)),
        AccountApi(
            accounts=users.accounts,
            passwords=users.passwords,
            devices=users.devices,
            deactivation=users.deactivation,
            ui_auth=users.ui_auth,
            can_mail=users.contacts.checks.can_mail,
        ),
        *contact_apis(users.contacts, users.ui_auth),
        DevicesApi(devices=users.devices, ui_auth=users.ui_auth),
        ProfileApi(
            profiles=users.profiles,
            accounts=users.accounts,
            limit=limits.make(rates.rc_profile),
            may_see=users.profile_access,
            appear=appear,
        ),
        AccountDataApi(account_data=users.account_data),
        TagsApi(account_data=users.account_data),
        AuthFallbackApi(ui_auth=users.ui_auth, tokens=users.registration_tokens),
        FiltersApi(filters=users.filters),
        CapabilitiesApi(
            abilities=Abilities(
                default_room_version=core.config.server.default_room_version,
                change_password=settings.passwords.enabled,
                change_threepids=users.contacts.may_change,
                get_login_token=settings.login_tokens.enabled,
                forgets_upon_leave=core.config.rooms.forget_rooms_on_leave,
            ),
            profiles=users.profiles,
        ),
        ModerationApi(accounts=users.accounts, server_name=core.server_name),
        WhoisApi(accounts=users.accounts, devices=users.devices, server_name=core.server_name),
        SharedSecretApi(shared_secret=shared_secret, login=users.login),
    ]
