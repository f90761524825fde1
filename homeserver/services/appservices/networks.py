"""The networks that bridges reach, and who and what is there: asked of the services that declare a protocol.

All services of a protocol are asked at the same time. One that does not answer within some seconds, or not properly, is
left out, so that it delays nobody for longer.

Source: application service API, "Third-party networks"; client-server API, "Third-party Networks".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults

from appservice.client import AppserviceClient, Kind
from appservice.errors import AppserviceError
from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks

logger = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")
Ask = Callable[[Registration], Awaitable[T]]

WAIT_S = 10.0
# What a service tells of its networks hardly ever changes; clients ask for it whenever they show a directory.
KEEP_S, KEPT = 3600.0, 1_000
# Of one service, in one answer.
MAX_RESULTS = 1_000
_IDENTIFIER: Mapping[Kind, str] = {"user": "userid", "location": "alias"}


class Networks:
    def __init__(self, *, registry: Registry, client: AppserviceClient, clock: Clock, tasks: Tasks) -> None:
        self._registry = registry
        self._client = client
        self._clock = clock
        self._asking: Shared[tuple[str, str], Json | None] = Shared("appservice.protocol", tasks)
        self._told: Lru[tuple[str, str], Json] = Lru("appservice_protocols", KEPT, clock, KEEP_S)
        registry.on_change(self._told.clear)

    def has_protocol(self, protocol: str) -> bool:
        return any(protocol in service.protocols for service in self._registry.all)

    async def protocols(self) -> dict[str, Json]:
        """What is told of each protocol, by name; without those of which nothing is."""
        names = sorted({protocol for service in self._registry.all for protocol in service.protocols})
        found = await gatherResults([Deferred.fromCoroutine(self.protocol(name)) for name in names])
        return {name: told for name, told in zip(names, found, strict=True) if told is not None}

    async def protocol(self, name: str) -> Json | None:
        """Of several services the instances together; the rest, which should be alike, is the first one's."""
        told = await self._of_each(self._of_protocol(name), lambda service: self._protocol_of(service, name))
        found = [one for one in told if one is not None]
        if not found:
            return None
        return {**found[0], "instances": [instance for one in found for instance in one["instances"]]}

    async def find(self, kind: Kind, protocol: str, fields: Mapping[str, Sequence[str]]) -> list[Json]:
        """Users or locations of a network, by its own fields."""
        return await self._found(
            kind,
            self._of_protocol(protocol),
            lambda service: self._client.find_third_parties(service, kind, protocol, fields),
        )

    async def locations_of_alias(self, alias: str) -> list[Json]:
        """What a room alias stands for."""
        return await self._found(
            "location", self._with_protocols(), lambda service: self._client.locations_of_alias(service, alias)
        )

    async def third_parties_of_user(self, user_id: str) -> list[Json]:
        """Whom a user of Matrix stands for."""
        return await self._found(
            "user", self._with_protocols(), lambda service: self._client.third_parties_of_user(service, user_id)
        )

    def _of_protocol(self, name: str) -> list[Registration]:
        return [service for service in self._with_protocols() if name in service.protocols]

    def _with_protocols(self) -> list[Registration]:
        return [service for service in self._registry.all if service.protocols and service.url is not None]

    async def _protocol_of(self, service: Registration, name: str) -> Json | None:
        key = (f"{service.id}|{service.url}", name)
        told = self._told.get(key)
        if told is None:
            version = self._told.version
            told = await self._asking.get(key, lambda: self._ask_protocol(service, name))
            if told is not None:
                self._told.set_if_unchanged(key, told, version)
        return told

    async def _ask_protocol(self, service: Registration, name: str) -> Json | None:
        told = await self._client.third_party_protocol(service, name)
        instances = told.get("instances")
        if not isinstance(instances, list):
            logger.warning("%r told nothing usable of the protocol %r", service.id, name)
            return None
        return {**told, "instances": [_with_id(one, service.id) for one in instances if isinstance(one, dict)]}

    async def _found(self, kind: Kind, services: Sequence[Registration], ask: Ask[list[Any]]) -> list[Json]:
        answers = await self._of_each(services, ask)
        return [one for answer in answers for one in (answer or ())[:MAX_RESULTS] if _is_result(one, _IDENTIFIER[kind])]

    async def _of_each(self, services: Sequence[Registration], ask: Ask[T]) -> list[T | None]:
        """The answers of all services in their order, None of those that failed."""

        async def ask_one(service: Registration) -> T | None:
            try:
                return await self._clock.timeout(ask(service), WAIT_S)
            except (AppserviceError, TimeoutError) as error:
                logger.warning("%r was asked about its networks: %s", service.id, error)
                return None

        return await gatherResults([Deferred.fromCoroutine(ask_one(service)) for service in services])


def _with_id(instance: Json, service_id: str) -> Json:
    """With the `instance_id` by which clients ask for the network's rooms. Source: as Synapse."""
    network_id = instance.get("network_id")
    return {**instance, "instance_id": f"{service_id}|{network_id}"} if isinstance(network_id, str) else instance


def _is_result(one: Any, identifier: str) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get(identifier), str)
        and isinstance(one.get("protocol"), str)
        and isinstance(one.get("fields"), dict)
    )
