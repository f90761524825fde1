"""Secrets that the server gives out: what they look like, and how they are stored."""

import hashlib
import secrets

from matrix.ids import DeviceId

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def new_token(prefix: str) -> str:
    """A secret of 256 bits. The prefix tells people (and secret scanners) what leaked."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> bytes:
    """What is stored. Plain SHA-256 will do: there are too many secrets to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def new_device_id() -> DeviceId:
    """Ten letters, as Synapse's."""
    return DeviceId("".join(secrets.choice(_LETTERS) for _ in range(10)))
