"""Users who come to be when somebody wants them: a service is asked for one in its namespace, and registers them.

Several who want the same user share one question. A "no" is not remembered: at the next look the user may be there.

Source: application service API, "Querying".
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from twisted.internet.defer import DeferredSemaphore, gatherResults

from appservice.client import AppserviceClient
from appservice.errors import AppserviceError
from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.runtime.clock import Clock
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks
from homeserver.web.call import Requester
from matrix.ids import UserId
from storage.users import User

logger = logging.getLogger(__name__)

# Of users who are invited at once.
ASKED_AT_ONCE = 10
# An invite or a look-up goes on without the user then. The question itself does not end.
WAIT_S = 10.0

FindUser = Callable[[str], Awaitable[User | None]]


class Appear(Protocol):
    """AppserviceUsers.appear, for who needs no more."""

    def __call__(self, user_ids: Sequence[UserId], by: Requester | None = None) -> Awaitable[None]: ...


async def nobody_appears(user_ids: Sequence[UserId], by: Requester | None = None) -> None:
    """Of a server without application services."""


class AppserviceUsers:
    """`find_user`: the account of a user of ours. In `homeserver.services.users`: Accounts.find."""

    def __init__(
        self, *, registry: Registry, client: AppserviceClient, find_user: FindUser, clock: Clock, tasks: Tasks
    ) -> None:
        self._registry = registry
        self._client = client
        self._find_user = find_user
        self._clock = clock
        self._asking: Shared[UserId, None] = Shared("appservice.query_user", tasks)

    async def appear(self, user_ids: Sequence[UserId], by: Requester | None = None) -> None:
        """Comes back when those who can be there are. `by`: who wants them, if that may be a service."""
        wanted = [user_id for user_id in user_ids if self._registry.owners_of_user(user_id)]
        if not wanted:
            return
        turns = DeferredSemaphore(ASKED_AT_ONCE)
        await gatherResults([turns.run(self._appear, user_id, by) for user_id in wanted], consumeErrors=True)

    async def is_user(self, user_id: UserId) -> bool:
        """Is there such a user of ours, or is there one now?"""
        await self.appear([user_id])
        user = await self._find_user(user_id)
        return user is not None and not user.is_deactivated

    async def _appear(self, user_id: UserId, by: Requester | None) -> None:
        owners = [each for each in self._registry.owners_of_user(user_id) if each.url is not None]
        # A user whom a service is just making may not have a name yet.
        if not owners or (user_id not in self._asking and await self._is_there(user_id)):
            return
        if user_id in self._asking and by is not None and by.appservice_id in [each.id for each in owners]:
            # It asks while it is being asked: if it waited for itself, both would wait for ever.
            return
        asking = self._asking.get(user_id, lambda: self._ask(owners, user_id))
        try:
            await self._clock.timeout(asking, WAIT_S)
        except TimeoutError:
            logger.warning("A service has not said for %g s whether there is %s", WAIT_S, user_id)

    async def _is_there(self, user_id: UserId) -> bool:
        """Is there the user, and nobody making them?"""
        return await self._find_user(user_id) is not None and user_id not in self._asking

    async def _ask(self, owners: Sequence[Registration], user_id: UserId) -> None:
        """One service after the other, until there is the user: matrix-appservice-bridge says yes to all."""
        for service in owners:
            try:
                if await self._client.query_user(service, user_id) and await self._find_user(user_id) is not None:
                    return
            except AppserviceError as error:
                logger.warning("%r was asked for %s: %s", service.id, user_id, error)
