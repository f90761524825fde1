"""Registration tokens: the stage m.login.registration_token, and keeping the tokens.

Source: client-server API, "Token-authenticated registration".
"""

import re
import secrets
from typing import Any

from homeserver.runtime.clock import Clock
from homeserver.services.users.ui_auth import Attempt
from matrix.errors import BadRequest, Forbidden, NotFound
from storage import registration_tokens as rows
from storage.database import Database
from storage.registration_tokens import RegistrationToken

# Appendices, "Opaque Identifiers", with the length that the stage's chapter gives.
_GRAMMAR = re.compile(r"[A-Za-z0-9._~-]{1,64}")


class RegistrationTokens:
    """A stage of user-interactive authentication, and what admins do with tokens."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def is_valid(self, token: str) -> bool:
        return await self._db.read(rows.is_usable, token, self._clock.now_ms())

    async def check(self, attempt: Attempt) -> Any:
        """Reserves one use. Raises: Forbidden."""
        token = attempt.auth.text("token")
        if not await self._db.run(rows.reserve, token, self._clock.now_ms()):
            raise Forbidden("Invalid registration token")
        return token

    async def abandon(self, results: list[Any]) -> None:
        await self._db.run(rows.release, results)

    async def list_all(self, *, valid: bool | None = None) -> list[RegistrationToken]:
        """All tokens, or those that can be used now, or those that cannot."""
        if valid is None:
            return await self._db.read(rows.list_tokens)
        return await self._db.read(rows.list_tokens, valid_at_ms=self._clock.now_ms(), valid=valid)

    async def get(self, token: str) -> RegistrationToken:
        """Raises: NotFound."""
        found = await self._db.read(rows.find_token, token)
        if found is None:
            raise NotFound(f"No such registration token: {token[:64]}")
        return found

    async def add(
        self, token: str | None, *, length: int = 16, uses_allowed: int | None = None, expires_ms: int | None = None
    ) -> RegistrationToken:
        """A new token, of this name or a random one. Raises: BadRequest."""
        token = token if token is not None else secrets.token_urlsafe(length)[:length]
        if not _GRAMMAR.fullmatch(token):
            raise BadRequest("A token is made of 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -", "M_INVALID_PARAM")
        if not await self._db.run(rows.add_token, token, uses_allowed, expires_ms):
            raise BadRequest(f"Token already exists: {token}", "M_INVALID_PARAM")
        return await self.get(token)

    async def update(self, token: str, *, uses_allowed: int | None, expires_ms: int | None) -> RegistrationToken:
        """Raises: NotFound."""
        await self.get(token)
        await self._db.run(rows.put_limits, token, uses_allowed, expires_ms)
        return await self.get(token)

    async def delete(self, token: str) -> None:
        """Raises: NotFound."""
        if not await self._db.run(rows.delete_token, token):
            raise NotFound(f"No such registration token: {token[:64]}")
