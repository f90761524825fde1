"""Bridges and other application services; calls."""

from pathlib import Path

from attrs import frozen

from synapse_like_config.reading import option
from synapse_like_config.units import BadValue, Milliseconds


@frozen
class AppServices:
    """Bridges and other application services."""

    app_service_config_files: tuple[Path, ...] = option((), "The registration files of bridges.")
    use_appservice_legacy_authorization: bool = option(
        False, "Whether bridges get the token in the URL too, as before version 1.4 of the specification."
    )


@frozen
class Calls:
    """Servers that connect callers."""

    turn_uris: tuple[str, ...] = option((), "URIs of TURN servers: turn:turn.example.org?transport=udp")
    turn_shared_secret: str | None = option(None, "The secret shared with them.", secret=True)
    turn_username: str | None = option(None, "The name for them, in place of the secret.")
    turn_password: str | None = option(None, "The password for them, in place of the secret.", secret=True)
    turn_user_lifetime: Milliseconds = option(Milliseconds(3_600_000), "How long a caller may use them.")
    turn_allow_guests: bool = option(True, "Whether guests may.")

    def check(self) -> None:
        if (self.turn_username is None) != (self.turn_password is None):
            raise BadValue("turn_username and turn_password belong together", key="turn_username")
