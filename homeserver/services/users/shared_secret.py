"""Registration by whoever knows `registration_shared_secret`, as Synapse's register_new_matrix_user does it.

Source: Synapse, "Shared-Secret Registration". A nonce is signed instead of remembered, so that any process may take
what another gave out; only its use is stored.
"""

import hashlib
import hmac
import secrets

from homeserver.runtime.clock import Clock
from homeserver.services.users.passwords import MAX_LENGTH
from homeserver.services.users.registration import NewAccount, Registration
from homeserver.web.params import Fields
from matrix.errors import BadRequest, Forbidden
from matrix.ids import UserId
from storage.database import Database
from storage.ui_auth import use_once

NONCE_LIFETIME_MS = 60_000
USER_TYPES = ("bot", "support")
_OPERATION = "shared-secret registration"


class SharedSecretRegistration:
    """`secret` None: it is switched off."""

    def __init__(self, *, db: Database, clock: Clock, registration: Registration, secret: str | None) -> None:
        self._db = db
        self._clock = clock
        self._registration = registration
        self._secret = secret

    def nonce(self) -> str:
        """Good for one registration within a minute. Raises: BadRequest if it is switched off."""
        return self._signed(f"{self._clock.now_ms()}.{secrets.token_hex(16)}")

    async def register(self, body: Fields) -> UserId:
        """Raises: BadRequest, Forbidden."""
        nonce, username, password = body.text("nonce"), body.text("username"), body.text("password")
        if self._signed(nonce.rpartition(".")[0]) != nonce or self._age_ms(nonce) > NONCE_LIFETIME_MS:
            raise _bad("unrecognised nonce")
        if len(username) > MAX_LENGTH or len(password) > MAX_LENGTH:
            raise _bad("Invalid username or password")
        is_admin, user_type = bool(body.raw.get("admin")), body.optional_text("user_type")
        if user_type is not None and user_type not in USER_TYPES:
            raise _bad("Invalid user type")
        expected = mac(self._key(), nonce, username, password, admin=is_admin, user_type=user_type)
        if not hmac.compare_digest(expected.encode(), body.text("mac").encode()):
            raise Forbidden("HMAC incorrect")
        if not await self._db.run(use_once, nonce, _OPERATION, self._clock.now_ms()):
            raise _bad("unrecognised nonce")
        displayname = body.optional_text("displayname")
        return await self._registration.register(
            NewAccount(username.lower(), password, is_admin=is_admin, user_type=user_type, displayname=displayname)
        )

    def _key(self) -> bytes:
        if not self._secret:
            raise _bad("Shared secret registration is not enabled")
        return self._secret.encode()

    def _signed(self, text: str) -> str:
        # Another hash and another message than the registration's own: neither passes for the other.
        digest = hmac.new(self._key(), f"nonce {text}".encode(), hashlib.sha256).hexdigest()
        return f"{text}.{digest}"

    def _age_ms(self, nonce: str) -> int:
        return self._clock.now_ms() - int(nonce.partition(".")[0])


def mac(key: bytes, nonce: str, username: str, password: str, *, admin: bool, user_type: str | None = None) -> str:
    """The proof that a registration comes from one who knows the secret."""
    parts = [nonce, username, password, "admin" if admin else "notadmin"]
    if user_type:
        parts.append(user_type)
    # SHA-1 is what Synapse's clients compute; in an HMAC it is still sound.
    return hmac.new(key, "\x00".join(parts).encode(), hashlib.sha1).hexdigest()


def _bad(message: str) -> BadRequest:
    return BadRequest(message, "M_UNKNOWN")
