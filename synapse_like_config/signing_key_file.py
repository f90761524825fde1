"""The file with the keys that sign for this server, made when it is not there."""

import os
import secrets
import string
from pathlib import Path

from matrix.signing import SigningKey, read_signing_keys
from synapse_like_config.load import ConfigFault

_VERSION = string.ascii_lowercase + string.digits


def read_or_make(path: Path) -> list[SigningKey]:
    """The keys, the first of them the one that signs; at least one. A file that is not there is made.

    Raises: ConfigFault if the file cannot be read, or holds no key.
    """
    try:
        keys = _read_or_make(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigFault([f"signing_key_path: {path}: {reason}"]) from error
    if not keys:
        raise ConfigFault([f"signing_key_path: {path}: there is no key in it"])
    return keys


def _read_or_make(path: Path) -> list[SigningKey]:
    try:
        return read_signing_keys(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _make(path)
        # Another process that starts at the same time may have made it: what is in the file counts.
        return read_signing_keys(path.read_text(encoding="utf-8"))


def new_key() -> SigningKey:
    # As Synapse names its keys: a_ and four letters or digits.
    version = "a_" + "".join(secrets.choice(_VERSION) for _ in range(4))
    return SigningKey.from_seed(version, secrets.token_bytes(32))


def _make(path: Path) -> None:
    key = new_key()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole before it has its name: a crash must not leave half a key, nor two processes each their own.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(key.line())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
