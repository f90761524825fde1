"""Password hashes: argon2id, and the bcrypt of Synapse. Those of the other kind are replaced at the next login.

New ones are by bcrypt only for who wants a Synapse to read them; argon2id is better.

Hashing runs on threads, and no more at once than there is memory and time for: each takes 19 MiB and 30 to 60 ms.
Source: OWASP, "Password Storage Cheat Sheet" (argon2id).
"""

import re
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

from homeserver.services.users.settings import PasswordSettings
from matrix.errors import BadRequest, InvalidParam, LimitExceeded

T = TypeVar("T")

# As Synapse; a longer one is no better, and hashing it takes longer.
MAX_LENGTH = 512
# bcrypt looks at no more; Synapse's older versions cut silently.
_BCRYPT_BYTES = 72
# Who comes when so many wait is told to come back: they would wait some seconds.
MAX_WAITING = 200

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@frozen
class Verdict:
    is_right: bool
    # The stored hash is of an old kind: hash the password anew.
    is_outdated: bool = False


WRONG = Verdict(False)


class Passwords:
    """Hashes and verifies, and says which new passwords will do."""

    def __init__(self, *, settings: PasswordSettings, reactor: IReactorThreads, threads: int = 2) -> None:
        self.settings = settings
        self._reactor = reactor
        self._turns = DeferredSemaphore(threads)
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        prepared = _prepared(password, self.settings.pepper)
        return await self._on_thread(lambda: _hash(prepared, self.settings.bcrypt_rounds))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Is it the password of this hash? Takes as long without a hash."""
        if len(password) > MAX_LENGTH:
            return WRONG
        prepared = _prepared(password, self.settings.pepper)
        is_right = await self._on_thread(lambda: _is_right(prepared, stored or self._hash_of_nobody()))
        if not stored or not is_right:
            return WRONG
        return Verdict(True, is_outdated=not _is_wanted(stored, self.settings.bcrypt_rounds))

    def _hash_of_nobody(self) -> str:
        """Verified where there is no account, so that the time taken does not tell. On a thread, and not at start."""
        if self._nobodys is None:
            self._nobodys = _hash(b"nobody", self.settings.bcrypt_rounds)
        return self._nobodys

    def check_new(self, password: str) -> None:
        """Raises: BadRequest for a password that we do not take. The errcodes are Synapse's."""
        settings = self.settings
        if len(password) > MAX_LENGTH or "\x00" in password:
            raise InvalidParam("Invalid password")
        if len(password) < settings.minimum_length:
            raise BadRequest(
                f"The password must be at least {settings.minimum_length} characters long", "M_PASSWORD_TOO_SHORT"
            )
        for required, pattern, errcode, what in (
            (settings.require_digit, r"[0-9]", "M_PASSWORD_NO_DIGIT", "one digit"),
            (settings.require_symbol, r"[^a-zA-Z0-9]", "M_PASSWORD_NO_SYMBOL", "one symbol"),
            (settings.require_uppercase, r"[A-Z]", "M_PASSWORD_NO_UPPERCASE", "one uppercase letter"),
            (settings.require_lowercase, r"[a-z]", "M_PASSWORD_NO_LOWERCASE", "one lowercase letter"),
        ):
            if required and re.search(pattern, password) is None:
                raise BadRequest(f"The password must include at least {what}", errcode)

    def _on_thread(self, function: Callable[[], T]) -> "Deferred[T]":
        if len(self._turns.waiting) >= MAX_WAITING:
            raise LimitExceeded(retry_after_ms=5000)
        return self._turns.run(deferToThreadPool, self._reactor, self._reactor.getThreadPool(), function)


def _prepared(password: str, pepper: str) -> bytes:
    """The bytes that are hashed. As Synapse: the same text in another normal form is the same password."""
    return (unicodedata.normalize("NFKC", password) + pepper).encode("utf-8", "surrogatepass")


def _hash(password: bytes, bcrypt_rounds: int | None) -> str:
    if bcrypt_rounds is None:
        return HASHER.hash(password)
    return bcrypt.hashpw(password[:_BCRYPT_BYTES], bcrypt.gensalt(bcrypt_rounds)).decode()


def _is_right(password: bytes, stored: str) -> bool:
    try:
        if stored.startswith("$2"):
            return bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode())
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError, ValueError):
        return False


def _is_wanted(stored: str, bcrypt_rounds: int | None) -> bool:
    """Is the hash, which is a good one, of the kind that new ones are of?"""
    if bcrypt_rounds is not None:
        return stored.startswith(f"$2b${bcrypt_rounds:02}$")
    return not stored.startswith("$2") and not HASHER.check_needs_rehash(stored)
