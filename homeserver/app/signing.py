"""The key that signs for this server: read from its file, which is made if it is not there."""

import os
import secrets
import string
from pathlib import Path

from homeserver.services.rooms.intake import Signer
from matrix.signing import SigningKey, read_signing_keys
from synapse_like_config import Config, ConfigFault


def load_signer(config: Config) -> Signer:
    """Raises: ConfigFault for a file that has no key; OSError."""
    name = config.server.server_name
    path = config.keys.signing_key_path or config.data_directory / f"{name}.signing.key"
    if not path.exists():
        _make(path)
    try:
        keys = read_signing_keys(path.read_text())
    except ValueError as error:
        raise ConfigFault([f"signing_key_path: {path}: {error}"]) from error
    if not keys:
        raise ConfigFault([f"signing_key_path: {path} holds no key. Delete it to have a new one made."])
    return Signer(server_name=name, key=keys[0])


def _make(path: Path) -> None:
    """A new key, for the owner's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    version = "a_" + "".join(secrets.choice(string.ascii_letters) for _ in range(4))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(SigningKey.from_seed(version, secrets.token_bytes(32)).line())
