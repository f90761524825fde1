"""Device lists of users of other servers: kept as long as we share a room with the user, fetched when they are stale.

Theory of operation. A server tells the servers that share a room with its user what changes on the user's devices
(remote_updates.py). What it told us is worth keeping as long as it tells us everything. So a list has a row from the
first time that somebody asks for it to the moment at which the user leaves the last room with one of us. The row is
there, stale, before the user's server is asked: whatever the server tells us while its answer is under way raises the
row's version, and the answer is then known to be old, in whichever process it arrives.

A list that cannot be fetched is tried again with growing pauses. Clients hear of a list that was fetched again after a
change: they ask for it then, and get it from here.

Source: server-server API, "Device Management".
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList

from federation.outbound.client import FederationClient
from federation.outbound.errors import BadAnswer, Refused, RemoteError
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks
from homeserver.services.e2ee.remote_shapes import BadList, read_device_list, read_query_answer
from homeserver.services.e2ee.seams import Commit
from matrix.ids import ServerName, UserId
from storage import device_lists
from storage import remote_devices as rows
from storage.change import Change
from storage.database import Database
from storage.remote_devices import ListState, Outdated, RemoteKeys

# To one server; users of others do not wait for them.
LANES = 4
# Of so many users of one server the keys are asked for one by one, which tells their lists' versions too. Of more they
# are asked for at once: the first update then tells that the version is not known, and the list is fetched.
ONE_BY_ONE = 8
USERS_AT_ONCE = 500
# A list that is told to have changed each time it arrives is fetched so often, and then left for a while.
ATTEMPTS = 3
FIRST_RETRY_MS, LONGEST_RETRY_MS = 30_000, 6 * 3600 * 1000
# Whoever fetches a list has so long until it counts as not being fetched.
CLAIMED_MS = 5 * 60_000
RETRIED_AT_ONCE = 50
SWEPT_AT_ONCE = 500


@define
class Fetched:
    """Keys by user; `error` if not those of all could be had."""

    keys: dict[str, RemoteKeys] = field(factory=dict)
    error: RemoteError | None = None


class RemoteLists:
    def __init__(
        self,
        *,
        database: Database,
        commit: Commit,
        client: FederationClient,
        clock: Clock,
        tasks: Tasks,
        server_name: ServerName,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._commit = commit
        self._client = client
        self._clock = clock
        self._server_name = server_name
        self._chance = chance
        self._lanes = Linearizer()
        self._fetching: Shared[UserId, RemoteKeys] = Shared("remote_devices.fetch", tasks)

    async def kept(self, user_ids: Collection[UserId]) -> dict[str, RemoteKeys]:
        """The keys of those users whose lists are known to be what they are.

        What is kept of who shares no room with us any more is about to be dropped.
        """
        sharing = await self._database.read(rows.sharing_with, self._server_name, user_ids)
        return await self._database.run(rows.find_keys, [user_id for user_id in user_ids if user_id in sharing])

    async def shares_a_room(self, user_id: UserId) -> bool:
        return bool(await self._database.read(rows.sharing_with, self._server_name, [user_id]))

    async def begin(self, user_ids: Collection[UserId]) -> set[UserId]:
        """Those of the users who share a room with us: their lists are kept from now on, and are to be fetched."""
        sharing = await self._database.read(rows.sharing_with, self._server_name, user_ids)
        found = {user_id for user_id in user_ids if user_id in sharing}
        if found:
            await self._database.run(rows.begin_lists, list(found), self._clock.now_ms() + CLAIMED_MS)
        return found

    async def fetch(self, server: ServerName, user_ids: Sequence[UserId]) -> Fetched:
        """Fetches the lists of users of one server."""
        if len(user_ids) > ONE_BY_ONE:
            return await self._fetch_all(server, user_ids)
        results: Sequence[tuple[bool, Any]] = await DeferredList(
            [self._get(user_id) for user_id in user_ids], consumeErrors=True
        )
        fetched = Fetched()
        for user_id, (is_good, result) in zip(user_ids, results, strict=True):
            if is_good:
                fetched.keys[user_id] = result
            elif isinstance(result.value, RemoteError):
                fetched.error = result.value
            else:
                result.raiseException()
        return fetched

    def _get(self, user_id: UserId) -> "Deferred[RemoteKeys]":
        return self._fetching.get(user_id, lambda: self._fetch_in_lane(user_id))

    def refresh(self, user_id: UserId) -> None:
        """Fetches a stale list in the background, unless that is under way. What fails is tried again later."""
        self._fetching.start(user_id, lambda: self._fetch_in_lane(user_id))

    async def retry(self) -> None:
        """Fetches again what is due. Called every few seconds."""
        now_ms = self._clock.now_ms()
        for user_id in await self._database.run(rows.claim_stale, now_ms, now_ms + CLAIMED_MS, RETRIED_AT_ONCE):
            self.refresh(UserId(user_id))

    async def sweep(self) -> None:
        """Drops the lists of users who share no room with us any more. Called once in a while."""
        user_id = ""
        while user_ids := await self._database.read(rows.kept_after, user_id, SWEPT_AT_ONCE):
            await self._database.run(rows.drop_unshared, self._server_name, user_ids)
            user_id = user_ids[-1]

    async def _fetch_in_lane(self, user_id: UserId) -> RemoteKeys:
        async with self._lanes.of((user_id.domain, hash(user_id) % LANES)):
            return await self._fetch_one(user_id)

    async def _fetch_one(self, user_id: UserId) -> RemoteKeys:
        keys = RemoteKeys()
        for _ in range(ATTEMPTS):
            state = (await self._database.read(rows.find_states, [user_id])).get(user_id)
            try:
                stream_id, keys = await self._ask(user_id)
            except RemoteError:
                if state is not None:
                    await self._put_failures({str(user_id): state})
                raise
            if state is None or await self._store(user_id, state, stream_id, keys):
                return keys
        await self._put_failures({str(user_id): ListState()})
        return keys

    async def _ask(self, user_id: UserId) -> tuple[int | None, RemoteKeys]:
        """Version and keys. Raises: RemoteError."""
        try:
            return read_device_list(await self._client.user_devices(user_id.domain, user_id), user_id)
        except BadList as error:
            raise BadAnswer(user_id.domain, str(error)) from error
        except Refused as error:
            if error.is_unsupported:
                answer = await self._client.query_keys(user_id.domain, {str(user_id): []})
                return None, read_query_answer(answer, user_id)
            if error.status == 404:
                # Nobody of that name, any more: no devices.
                return None, RemoteKeys()
            raise

    async def _fetch_all(self, server: ServerName, user_ids: Sequence[UserId]) -> Fetched:
        fetched = Fetched()
        for start in range(0, len(user_ids), USERS_AT_ONCE):
            some = user_ids[start : start + USERS_AT_ONCE]
            states = await self._database.read(rows.find_states, some)
            try:
                answer = await self._client.query_keys(server, {str(user_id): [] for user_id in some})
            except RemoteError as error:
                await self._put_failures(states)
                fetched.error = error
                break
            found = {str(user_id): read_query_answer(answer, user_id) for user_id in some}
            fetched.keys.update(found)
            await self._store_all(states, found)
        return fetched

    async def _store_all(self, states: Mapping[str, ListState], found: Mapping[str, RemoteKeys]) -> None:
        """Keeps lists of which mostly nobody has asked before, so that nobody is to be told."""
        first = {user_id: found[user_id] for user_id in found if _is_first(states.get(user_id))}
        await self._database.run(rows.put_first_lists, first)
        for user_id, keys in found.items():
            if user_id in states and user_id not in first:
                await self._store(user_id, states[user_id], None, keys)

    async def _store(self, user_id: str, state: ListState, stream_id: int | None, keys: RemoteKeys) -> bool:
        """Keeps the list, unless something was told of it since. Clients hear of what they could not have had."""
        change = Change().run(lambda cur: rows.put_list(cur, user_id, state.version, stream_id, keys))
        if not _is_first(state):
            device_lists.record(change, user_id, {"fetched": True})
        try:
            await self._commit(change)
        except Outdated:
            return False
        return True

    async def _put_failures(self, states: Mapping[str, ListState]) -> None:
        now_ms, failures = self._clock.now_ms(), {}
        for user_id, state in states.items():
            pause_ms = min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(state.failures, 20))
            failures[str(user_id)] = (state.failures + 1, now_ms + int(pause_ms * (1 + self._chance() / 2)))
        await self._database.run(rows.put_failures, failures)


def _is_first(state: ListState | None) -> bool:
    """Is the list new, so that nobody has been told of it?"""
    return state is not None and not state.version and not state.failures
