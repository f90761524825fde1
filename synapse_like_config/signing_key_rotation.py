"""A new signing key in place of the old one, from the next start on; the old one stays known for what it has signed.

Two files lie beside the key's: `.next` holds the key that the next start takes up, `.old` the public keys that sign no
more. The change happens at a start and not before, since a running server signs on with the key that it has.

Source: server-server API, "Publishing Keys".
"""

import os
import secrets
from pathlib import Path

from attrs import frozen
from nacl.signing import VerifyKey

from matrix.errors import BadSignature
from matrix.signing import ALGORITHM, SigningKey, read_signing_keys, verify_key_from_base64
from matrix.unpadded_base64 import encode
from synapse_like_config.load import ConfigFault
from synapse_like_config.signing_key_file import new_key


@frozen
class RetiredKey:
    """A key that signs no more, since `expired_ms`."""

    key_id: str
    verify_key: VerifyKey
    expired_ms: int

    def line(self) -> str:
        version = self.key_id.partition(":")[2]
        return f"{ALGORITHM} {version} {encode(bytes(self.verify_key))} {self.expired_ms}\n"


def prepare_rotation(path: Path) -> SigningKey:
    """Makes the key that the next start takes up. Raises: ConfigFault, where one waits already, or OSError."""
    key, waiting = new_key(), _beside(path, "next")
    try:
        _write(waiting, key.line(), must_be_new=True)
    except FileExistsError:
        raise ConfigFault([f"{waiting} holds a new key already: start the server again to take it up"]) from None
    return key


def take_up(path: Path, now_ms: int) -> bool:
    """At a start: puts the key that waits in place of the old ones, which expire now. False if none waits.

    A crash in between loses nothing: a key that is in use counts as such, whatever is said of it here.

    Raises: ConfigFault, OSError.
    """
    waiting = _beside(path, "next")
    try:
        new = waiting.read_text("utf-8")
    except FileNotFoundError:
        return False
    # Another process that starts now may be ahead of us: the new key is never an old one.
    taken = {key.key_id for key in _read(waiting, new)}
    in_use = _read(path, path.read_text("utf-8")) if path.exists() else []
    retired = {key.key_id: key for key in read_retired(path)}
    for key in in_use:
        if key.key_id not in taken:
            retired.setdefault(key.key_id, RetiredKey(key.key_id, key.verify_key, now_ms))
    _write(_beside(path, "old"), "".join(key.line() for key in retired.values()))
    _write(path, new)
    waiting.unlink(missing_ok=True)
    return True


def read_retired(path: Path) -> list[RetiredKey]:
    """The keys that were replaced. Raises: ConfigFault for a file that will not do."""
    file = _beside(path, "old")
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    retired = []
    for number, line in enumerate(lines, 1):
        try:
            algorithm, version, key, expired_ms = line.split()
            retired.append(RetiredKey(f"{algorithm}:{version}", verify_key_from_base64(key), int(expired_ms)))
        except (ValueError, BadSignature):
            raise ConfigFault([f"{file}: line {number} is not 'ed25519 <version> <key> <expired>'"]) from None
    return retired


def _read(path: Path, text: str) -> list[SigningKey]:
    try:
        keys = read_signing_keys(text)
    except ValueError as error:
        raise ConfigFault([f"{path}: {error}"]) from error
    return keys


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")


def _write(path: Path, text: str, *, must_be_new: bool = False) -> None:
    """Written whole before it has its name. Raises: FileExistsError, if it must be new and is not."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if must_be_new:
            os.link(draft, path)
        else:
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
