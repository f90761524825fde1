"""Keys that a service hands out itself, for the users that are its own: a bridge to a network that encrypts too.

Only the service that has reserved a user is asked, and only for what was not uploaded. What it answers goes through the
same sieve as what other servers say. One that knows no such questions is not asked again for a minute; one that fails,
not for some seconds, so that it does not delay everybody who encrypts to its users.

Source: MSC3983, MSC3984.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults

from appservice.client import AppserviceClient
from appservice.errors import AppserviceError
from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.remote_shapes import read_claimed, read_query_answer
from homeserver.services.e2ee.seams import Json
from homeserver.services.e2ee.told_keys import Told, ToldKeys
from matrix.ids import UserId
from storage.remote_devices import RemoteKeys

logger = logging.getLogger(__name__)

V = TypeVar("V")
PAUSE_S = 10.0
MAX_PAUSES = 1_000


class AppserviceKeys:
    """`seams.ServiceKeys`."""

    def __init__(self, *, registry: Registry, client: AppserviceClient, told: ToldKeys, clock: Clock) -> None:
        self._registry = registry
        self._told = told
        self._client = client
        self._pauses: Lru[str, bool] = Lru("appservice_key_pauses", MAX_PAUSES, clock, PAUSE_S)

    async def query(self, wanted: Mapping[UserId, Collection[str]]) -> dict[str, RemoteKeys]:
        """The keys of those users whose service tells any; no devices named means all."""
        told: dict[str, Told] = {}

        async def ask(service: Registration, users: Mapping[UserId, Collection[str]]) -> None:
            answer = await self._client.query_keys(service, {str(user_id): list(users[user_id]) for user_id in users})
            if answer is None:
                return
            for user_id, devices in users.items():
                keys = read_query_answer(answer, user_id)
                if devices:
                    keys = evolve(keys, devices={each: keys.devices[each] for each in devices if each in keys.devices})
                told[user_id] = Told(devices, keys)

        await self._of_owners(wanted, ask)
        await self._told.hear(told)
        return {user_id: one.keys for user_id, one in told.items() if one.keys != RemoteKeys()}

    async def last_told(self, user_ids: Iterable[str]) -> dict[str, RemoteKeys]:
        """The same without asking anybody: what was heard last."""
        return await self._told.last([each for each in user_ids if self._owner(UserId(each), is_asked=False)])

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]]) -> Json:
        """One-time keys by user, device and key id, as far as services hand out any."""
        found: Json = {}

        async def ask(service: Registration, users: Mapping[UserId, Mapping[str, str]]) -> None:
            asked = {str(user_id): dict(users[user_id]) for user_id in users}
            answer = await self._client.claim_keys(
                service, {user_id: {each: [name] for each, name in asked[user_id].items()} for user_id in asked}
            )
            if answer is not None:
                # The proposal has the users at the top, as the library of the one who wrote it.
                told = answer if "one_time_keys" in answer else {"one_time_keys": answer}
                found.update(read_claimed(told, asked))

        await self._of_owners(wanted, ask)
        return found

    async def _of_owners(
        self, wanted: Mapping[UserId, V], ask: Callable[[Registration, Mapping[UserId, V]], Awaitable[None]]
    ) -> None:
        """Asks all services at the same time; what one does not tell is not there."""

        async def ask_one(service: Registration, users: Mapping[UserId, V]) -> None:
            try:
                await ask(service, users)
            except AppserviceError as error:
                logger.warning("%r was asked for keys: %s", service.id, error)
                self._pauses.set(service.id, True)

        by_owner: dict[str, dict[UserId, V]] = {}
        for user_id, what in wanted.items():
            owner = self._owner(user_id)
            if owner is not None:
                by_owner.setdefault(owner.id, {})[user_id] = what
        owners = [each for each in self._registry.all if each.id in by_owner]
        await gatherResults([Deferred.fromCoroutine(ask_one(each, by_owner[each.id])) for each in owners])

    def _owner(self, user_id: UserId, *, is_asked: bool = True) -> Registration | None:
        if not self._registry.owners_of_user(user_id):
            return None
        owner = self._registry.exclusive_owner(user_id)
        if owner is None or owner.url is None or (is_asked and self._pauses.get(owner.id)):
            return None
        return owner
