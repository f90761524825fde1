"""From the configuration, in the names of Synapse's file, to what each part is given, in its own."""

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.rooms.stripped import STRIPPED, ShownState
from homeserver.services.users.settings import (
    LoginTokenSettings,
    PasswordSettings,
    ProfileSettings,
    RegistrationSettings,
    SessionSettings,
)
from matrix.ids import UserId
from synapse_like_config import Config
from synapse_like_config.units import Rate


@frozen
class Limits:
    """Makes rate limits of the configuration's rates."""

    clock: Clock

    def make(self, rate: Rate) -> RateLimit:
        return RateLimit(rate.per_second, rate.burst_count, self.clock)


def notices_sender(config: Config) -> UserId | None:
    """In whose name the server sends notices, if it does."""
    localpart = config.users.server_notices.system_mxid_localpart
    return None if localpart is None else UserId.parse(f"@{localpart}:{config.server.server_name}")


def shown_state(config: Config) -> ShownState:
    """What who is invited or knocks sees of a room."""
    options = config.rooms.room_prejoin_state
    more = options.additional_event_types
    exact = tuple((event_type, state_key) for event_type, state_key in more if state_key is not None)
    return ShownState(
        keys=(() if options.disable_default_event_types else STRIPPED) + exact,
        types=frozenset(event_type for event_type, state_key in more if state_key is None),
    )


@frozen(kw_only=True)
class UserSettings:
    registration: RegistrationSettings
    sessions: SessionSettings
    passwords: PasswordSettings
    login_tokens: LoginTokenSettings
    profiles: ProfileSettings
    ui_auth_timeout_ms: int


def user_settings(config: Config) -> UserSettings:
    registration, login, users = config.registration, config.login, config.users
    policy = login.password_config.policy
    existing = login.login_via_existing_session
    return UserSettings(
        registration=RegistrationSettings(
            enabled=registration.enable_registration,
            requires_token=registration.registration_requires_token,
            can_mail=config.notifications.email.can_send,
            requires_email="email" in registration.registrations_require_3pid,
            allow_guests=registration.allow_guest_access,
            shared_secret=registration.registration_shared_secret,
            inhibit_user_in_use_error=registration.inhibit_user_in_use_error,
        ),
        sessions=SessionSettings(
            session_ms=login.session_lifetime,
            access_ms=login.nonrefreshable_access_token_lifetime,
            refreshable_access_ms=login.refreshable_access_token_lifetime,
            refresh_ms=login.refresh_token_lifetime,
        ),
        passwords=PasswordSettings(
            enabled=login.password_config.for_login and login.password_config.localdb_enabled,
            for_reauth=login.password_config.for_reauth and login.password_config.localdb_enabled,
            pepper=login.password_config.pepper,
            bcrypt_rounds=login.bcrypt_rounds,
            minimum_length=policy.minimum_length if policy.enabled else 0,
            require_digit=policy.enabled and policy.require_digit,
            require_symbol=policy.enabled and policy.require_symbol,
            require_lowercase=policy.enabled and policy.require_lowercase,
            require_uppercase=policy.enabled and policy.require_uppercase,
        ),
        login_tokens=LoginTokenSettings(
            enabled=existing.enabled, require_ui_auth=existing.require_ui_auth, timeout_ms=existing.token_timeout
        ),
        profiles=ProfileSettings(
            enable_set_displayname=users.enable_set_displayname,
            enable_set_avatar_url=users.enable_set_avatar_url,
            require_auth=users.require_auth_for_profile_requests,
            only_who_share_rooms=users.limit_profile_requests_to_users_who_share_rooms,
        ),
        ui_auth_timeout_ms=login.ui_auth.session_timeout,
    )
