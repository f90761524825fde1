"""Asks servers one after another until one gives what is wanted; bounded in number and time.

Whoever is tried may be slow, gone, or hostile: what it answers wrongly counts as no answer, and the next one is asked.
What it refuses with a reason that would be another server's too is the client's answer.

Source: server-server API, "Joining Rooms", "Restricted rooms".
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from federation.outbound.errors import Refused, RemoteError
from homeserver.runtime.clock import Clock
from homeserver.services.remote_errors import for_client, found_nothing, unusable
from matrix.errors import AuthRuleFailed, BadEvent, BadSignature, MatrixError, NotFound
from matrix.ids import ServerName

logger = logging.getLogger(__name__)

# After so long no further server is tried; the client waits all the while.
PATIENCE_S = 60.0
# "The joining server should try a different server": server-server API, "Restricted rooms".
TRY_ANOTHER = frozenset(("M_UNABLE_TO_AUTHORISE_JOIN", "M_UNABLE_TO_GRANT_JOIN"))

T = TypeVar("T")


class Attempts:
    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def first(self, what: str, servers: Sequence[ServerName], ask: Callable[[ServerName], Awaitable[T]]) -> T:
        """What the first server gives that gives anything.

        Raises: MatrixError: what a server refused for good, 404 if none knows the room, or 502.
        """
        deadline = self._clock.seconds() + PATIENCE_S
        failures: list[Exception] = []
        for server in servers:
            if self._clock.seconds() > deadline:
                break
            try:
                return await ask(server)
            except (RemoteError, AuthRuleFailed, BadEvent, BadSignature) as error:
                logger.info("%s by %s failed: %s", what, server, error)
                _check_another_may(error)
                failures.append(error)
        if all(isinstance(error, RemoteError) and found_nothing(error) for error in failures):
            raise NotFound("No server that is in the room is known")
        raise unusable(f"Failed to {what} by any server")


def _check_another_may(error: Exception) -> None:
    """Raises: MatrixError, if another server would say the same."""
    if not isinstance(error, Refused) or error.errcode in TRY_ANOTHER or found_nothing(error):
        return
    told: MatrixError = for_client(error)
    if told.status in (400, 403, 404):
        raise told
