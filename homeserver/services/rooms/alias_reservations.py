"""Aliases that lie in the namespaces of application services: whose they are to give and take.

Source: application service API, "Server admin style permissions".
"""

from collections.abc import Awaitable, Callable

from appservice.registry import Registry
from homeserver.web.call import Requester
from matrix.errors import BadRequest
from matrix.ids import RoomAlias

# Asks the services whose the alias would be; true if one has made it now.
Ask = Callable[[RoomAlias], Awaitable[bool]]


async def nobody_makes(alias: RoomAlias) -> bool:
    return False


class AliasReserved(BadRequest):
    def __init__(self, message: str) -> None:
        super().__init__(message, "M_EXCLUSIVE")


class AliasReservations:
    def __init__(self, *, registry: Registry, ask: Ask) -> None:
        self._registry = registry
        self.ask = ask

    def check(self, requester: Requester, alias: RoomAlias) -> None:
        """Raises: AliasReserved, if the alias is not the requester's to give or take. As Synapse."""
        service = None if requester.appservice_id is None else self._registry.by_id(requester.appservice_id)
        if service is not None and not service.owns_alias(alias):
            raise AliasReserved("The alias is not in the application service's namespaces.")
        owner = self._registry.exclusive_owner_of_alias(alias)
        if owner is None or owner is service or owner.sender == requester.user_id:
            return
        # Of several services that have reserved it each may use it.
        if service is None or not service.has_reserved_alias(alias):
            raise AliasReserved("This alias is reserved by an application service.")
