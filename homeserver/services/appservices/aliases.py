"""Rooms that come to be when somebody wants them: a service is asked for an alias in its namespace, and makes the room.

Several who want the same alias share one question. A "no" is not remembered.

Source: application service API, "Querying".
"""

import logging
from collections.abc import Sequence

from appservice.client import AppserviceClient
from appservice.errors import AppserviceError, TimedOut, Unreachable
from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.runtime.clock import Clock
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks
from matrix.errors import MatrixError
from matrix.ids import RoomAlias
from storage.aliases import find_aliases
from storage.database import Database

logger = logging.getLogger(__name__)

# Before each further question to a service that is not reached: it may be starting.
PAUSES_S = (0.5, 1.0)


class AppserviceAliases:
    def __init__(
        self, *, registry: Registry, client: AppserviceClient, database: Database, clock: Clock, tasks: Tasks
    ) -> None:
        self._registry = registry
        self._database = database
        self._client = client
        self._clock = clock
        self._asking: Shared[RoomAlias, bool] = Shared("appservice.query_alias", tasks)

    async def ask(self, alias: RoomAlias) -> bool:
        """Asks the services whose the alias would be; true if one has made it now.

        Raises: MatrixError, 408 if one that might have did not answer.
        """
        owners = [each for each in self._registry.all if each.url is not None and each.owns_alias(alias)]
        return bool(owners) and await self._asking.get(alias, lambda: self._ask(owners, alias))

    async def _ask(self, owners: Sequence[Registration], alias: RoomAlias) -> bool:
        """One service after the other, until there is the alias: matrix-appservice-bridge says yes to all."""
        is_answered = True
        for service in owners:
            try:
                if await self._ask_one(service, alias) and await self._is_there(alias):
                    return True
            except AppserviceError as error:
                logger.warning("%r was asked for %s: %s", service.id, alias, error)
                is_answered = is_answered and not isinstance(error, (TimedOut, Unreachable))
        if not is_answered:
            raise MatrixError(408, "M_UNKNOWN", "The application service of this alias does not answer")
        return False

    async def _is_there(self, alias: RoomAlias) -> bool:
        return alias in await self._database.read(find_aliases, [alias])

    async def _ask_one(self, service: Registration, alias: RoomAlias) -> bool:
        for pause_s in PAUSES_S:
            try:
                return await self._client.query_alias(service, alias)
            except Unreachable:
                await self._clock.sleep(pause_s)
        return await self._client.query_alias(service, alias)
