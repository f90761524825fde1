"""What the operator decides about accounts. Names and defaults are those of Synapse's configuration."""

from collections.abc import Awaitable, Callable

from attrs import frozen

MINUTE_MS = 60_000


@frozen
class RegistrationSettings:
    enabled: bool = False
    requires_token: bool = False
    requires_email: bool = False
    # An address can be confirmed by a mail.
    can_mail: bool = False
    allow_guests: bool = False
    shared_secret: str | None = None
    # Say neither in /register/available nor before the last stage whether a name is taken.
    inhibit_user_in_use_error: bool = False
    allow_underscore_prefixed: bool = False


@frozen
class SessionSettings:
    """`access_ms` without a refresh token, `refreshable_access_ms` with one. None: for ever.

    `refreshable_access_ms=None` gives no refresh tokens out. `session_ms` bounds the whole session.
    """

    session_ms: int | None = None
    access_ms: int | None = None
    refreshable_access_ms: int | None = 5 * MINUTE_MS
    refresh_ms: int | None = None


@frozen
class LoginTokenSettings:
    """login_via_existing_session."""

    enabled: bool = False
    require_ui_auth: bool = True
    timeout_ms: int = 5 * MINUTE_MS


@frozen
class PasswordSettings:
    """`enabled`: may users log in with passwords? `for_reauth`: may they confirm with them what they do?

    The rest are the demands on new ones.
    """

    enabled: bool = True
    for_reauth: bool = True
    pepper: str = ""
    # Hashes are made by bcrypt, with so many; None: by argon2id.
    bcrypt_rounds: int | None = None
    minimum_length: int = 0
    require_digit: bool = False
    require_symbol: bool = False
    require_lowercase: bool = False
    require_uppercase: bool = False


@frozen
class ProfileSettings:
    """May users change these themselves? May everybody see them?"""

    enable_set_displayname: bool = True
    enable_set_avatar_url: bool = True
    require_auth: bool = False
    only_who_share_rooms: bool = False
    # May this be an avatar? Raises: Forbidden.
    check_avatar: Callable[[str], Awaitable[None]] | None = None
