"""Passwords, sessions, and other ways to sign in."""

from typing import Any, Literal

from attrs import frozen

from synapse_like_config.reading import option, required, section
from synapse_like_config.units import BadValue, Milliseconds


@frozen
class PasswordPolicy:
    """What a new password must be."""

    enabled: bool = option(False, "Whether the rules below hold.")
    minimum_length: int = option(0, "The least number of characters.")
    require_digit: bool = option(False, "Whether it must have a digit.")
    require_symbol: bool = option(False, "Whether it must have a character that is neither letter nor digit.")
    require_lowercase: bool = option(False, "Whether it must have a small letter.")
    require_uppercase: bool = option(False, "Whether it must have a capital letter.")


@frozen
class Passwords:
    """Signing in by password."""

    enabled: Literal[True, False, "only_for_reauth"] = option(
        True, "Whether users may sign in by password. `only_for_reauth`: only to confirm what they do when signed in."
    )
    localdb_enabled: bool = option(True, "Whether the passwords of Hearth's own database count.")
    pepper: str = option("", "A secret mixed into every password. If it changes, nobody can sign in.", secret=True)
    policy: PasswordPolicy = section(PasswordPolicy, "What a new password must be.")

    @property
    def for_login(self) -> bool:
        return self.enabled is True

    @property
    def for_reauth(self) -> bool:
        return self.enabled is not False


@frozen
class ExistingSession:
    """Signing in a new device by one that is signed in."""

    enabled: bool = option(False, "Whether a client may ask for a token with which another device signs in.")
    require_ui_auth: bool = option(True, "Whether the user must confirm that, with the password.")
    token_timeout: Milliseconds = option(Milliseconds(300_000), "How long the token is good.")


@frozen
class UiAuth:
    """Confirmations of what a signed-in user does."""

    session_timeout: Milliseconds = option(Milliseconds(0), "How long one confirmation is good for the same again.")


@frozen
class Jwt:
    """Signing in by a JSON Web Token (`org.matrix.login.jwt`)."""

    enabled: bool = option(False, "Whether one may.")
    secret: str = option("", "The key that signs the tokens: a secret or a public key.", secret=True)
    algorithm: str = option("HS256", "How the tokens are signed.")
    subject_claim: str = option("sub", "The claim with the user name.")
    display_name_claim: str | None = option(None, "The claim with the display name.")
    issuer: str | None = option(None, "Who must have issued the token.")
    audiences: tuple[str, ...] = option((), "For whom the token must be.")

    def check(self) -> None:
        if self.enabled and not self.secret:
            raise BadValue("must be given", key="secret")


@frozen
class SingleSignOn:
    """For all ways of signing in at another site."""

    client_whitelist: tuple[str, ...] = option((), "Starts of URLs that get the token without asking the user.")
    update_profile_information: bool = option(False, "Whether each sign-in sets the display name anew.")


@frozen
class OidcProvider:
    """A site at which users sign in by OpenID Connect."""

    idp_id: str = required("Its id here; letters, digits, - and _.")
    issuer: str = required("Its URL.")
    client_id: str = required("Our id there.")
    idp_name: str = option("", "Its name for people.")
    idp_icon: str | None = option(None, "Its icon: an mxc:// URL.")
    idp_brand: str | None = option(None, "Its brand, for clients that know how to show it.")
    discover: bool = option(True, "Whether its endpoints are found by themselves.")
    client_secret: str | None = option(None, "Our secret there.", secret=True)
    client_auth_method: str = option("client_secret_basic", "How we show the secret.")
    pkce_method: Literal["auto", "always", "never"] = option("auto", "Whether to use PKCE.")
    scopes: tuple[str, ...] = option(("openid",), "What to ask for.")
    authorization_endpoint: str | None = option(None, "Where users sign in, if not discovered.")
    token_endpoint: str | None = option(None, "Where tokens are had, if not discovered.")
    userinfo_endpoint: str | None = option(None, "Who the user is, if not discovered.")
    jwks_uri: str | None = option(None, "Its keys, if not discovered.")
    skip_verification: bool = option(False, "Whether to trust what it says of its endpoints unchecked.")
    user_profile_method: Literal["auto", "userinfo_endpoint"] = option("auto", "Where to ask who the user is.")
    allow_existing_users: bool = option(False, "Whether a user name that exists here already is the same person.")
    enable_registration: bool = option(True, "Whether who is unknown here gets an account.")
    user_mapping_provider: dict[str, Any] = option({}, "How to make user names of what it says.")
    attribute_requirements: tuple[dict[str, Any], ...] = option((), "What it must say of those who may sign in.")


@frozen
class Login:
    """Passwords, sessions, and other ways to sign in."""

    password_config: Passwords = section(Passwords, "Signing in by password.")
    bcrypt_rounds: int | None = option(
        None, "Passwords are hashed by bcrypt with so many rounds, for a Synapse to read. Null: by argon2id, better."
    )
    session_lifetime: Milliseconds | None = option(None, "After so long users must sign in again. Null: never.")
    refreshable_access_token_lifetime: Milliseconds | None = option(
        Milliseconds(300_000), "How long an access token is good that its client can refresh. Null: there are none."
    )
    refresh_token_lifetime: Milliseconds | None = option(
        None, "How long a refresh token is good when it is not used. Null: for ever."
    )
    nonrefreshable_access_token_lifetime: Milliseconds | None = option(
        None, "How long an access token is good that its client cannot refresh. Null: for ever."
    )
    login_via_existing_session: ExistingSession = section(ExistingSession, "Signing in by another device.")
    ui_auth: UiAuth = section(UiAuth, "Confirmations.")
    jwt_config: Jwt = section(Jwt, "Signing in by a JSON Web Token.")
    sso: SingleSignOn = section(SingleSignOn, "Signing in at another site.")
    oidc_providers: tuple[OidcProvider, ...] = option((), "Sites at which users sign in by OpenID Connect.")

    def check(self) -> None:
        if self.bcrypt_rounds is not None and not 4 <= self.bcrypt_rounds <= 31:
            raise BadValue("must be 4 to 31", key="bcrypt_rounds")
        lifetime = self.session_lifetime
        for key in ("refresh_token_lifetime", "nonrefreshable_access_token_lifetime"):
            value = getattr(self, key)
            if lifetime is not None and value is not None and value > lifetime:
                raise BadValue("is longer than session_lifetime", key=key)
