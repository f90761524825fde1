"""Tokens that prove to a third service which user stands before it.

The service asks this server, by the server-server API, whose token it is.

Source: client-server API, "OpenID".
"""

from typing import Any

from homeserver.runtime.clock import Clock
from homeserver.services.users.tokens import new_token
from matrix.ids import ServerName, UserId
from storage import openid_tokens as rows
from storage.database import Database

# As Synapse: integration managers keep the token only until they have asked.
LIFETIME_S = 3600


class OpenId:
    def __init__(self, *, database: Database, clock: Clock, server_name: ServerName) -> None:
        self._database = database
        self._clock = clock
        self._server_name = server_name

    async def token_for(self, user_id: UserId) -> dict[str, Any]:
        """A new token, as the client is to hand it on."""
        token = new_token("hoi")
        await self._database.run(rows.add, token, user_id, self._clock.now_ms() + LIFETIME_S * 1000)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "matrix_server_name": self._server_name,
            "expires_in": LIFETIME_S,
        }

    async def find_user(self, token: str) -> UserId | None:
        """Whose token it is; None for one that is unknown or has expired."""
        return await self._database.read(rows.find_user, token, self._clock.now_ms())

    async def trim(self) -> int:
        return await self._database.run(rows.trim, self._clock.now_ms())
