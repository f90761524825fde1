"""Signing keys: ours, and who tells us those of others; and secrets of our own."""

from pathlib import Path

from attrs import frozen

from matrix.ids import ServerName
from synapse_like_config.reading import option, required
from synapse_like_config.units import Milliseconds


@frozen
class OldSigningKey:
    """A key that signs no more."""

    key: str = required("The public key, in base64.")
    expired_ts: int = required("Since when it signs no more, in milliseconds since 1970.")


@frozen
class TrustedKeyServer:
    """A server that tells keys of others."""

    server_name: ServerName = required("Its name.")
    verify_keys: dict[str, str] | None = option(None, "Its public keys by their ids; null: as it says over TLS.")
    accept_keys_insecurely: bool = option(False, "Whether to believe it without signature and TLS.")


@frozen
class Keys:
    """Signing keys and secrets."""

    signing_key_path: Path | None = option(
        None,
        "The file with the key that signs for this server, made if it is not there."
        " Null: `<server_name>.signing.key`, beside this file if it is there, else in the data directory.",
    )
    old_signing_keys: dict[str, OldSigningKey] = option({}, "Keys that signed earlier, by their ids.")
    key_refresh_interval: Milliseconds = option(
        Milliseconds(86_400_000), "How long other servers may keep our keys before they ask again."
    )
    trusted_key_servers: tuple[TrustedKeyServer, ...] = option(
        (TrustedKeyServer(server_name=ServerName("matrix.org")),),
        "Servers to ask for the keys of others. An empty list: only the others themselves.",
    )
    macaroon_secret_key: str | None = option(
        None, "A secret for tokens of ours. Null: made of the signing key.", secret=True
    )
    form_secret: str | None = option(None, "A secret for forms. Null: made of the signing key.", secret=True)
