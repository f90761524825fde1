"""Keys of users of other servers, for our users' clients: out of the lists that we keep, else asked for.

What other servers answer is hostile: see remote_shapes.py. None of them can hold up a request for longer than its
time-out, and none of their failures is more than an entry in `failures`.

Source: server-server API, "End-to-End Encryption".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred

from federation.outbound.client import FederationClient
from federation.outbound.errors import RemoteError
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.services.e2ee.remote_lists import RemoteLists
from homeserver.services.e2ee.remote_shapes import read_claimed, read_query_answer
from homeserver.services.e2ee.seams import Json, RemoteAnswer
from matrix.ids import ServerName, UserId
from storage.remote_devices import RemoteKeys as Keys

T = TypeVar("T")

USERS_AT_ONCE = 500
_UNREACHABLE = {"status": 503, "message": "The server could not be reached, or did not answer properly"}
_TOO_SLOW = {"status": 504, "message": "The server did not answer in time"}


class FederatedKeys:
    """`seams.RemoteKeys` over federation."""

    def __init__(self, *, lists: RemoteLists, client: FederationClient, clock: Clock, tasks: Tasks) -> None:
        self._lists = lists
        self._client = client
        self._clock = clock
        self._tasks = tasks

    async def query(self, wanted: Mapping[UserId, Sequence[str]], timeout_ms: int) -> RemoteAnswer:
        answer = RemoteAnswer()
        kept = await self._lists.kept(wanted)
        for user_id, keys in kept.items():
            _add_keys(answer, user_id, keys, wanted[UserId(user_id)])
        missing = [user_id for user_id in wanted if user_id not in kept]
        if missing:
            shared = await self._lists.begin(missing)

            async def ask(server: ServerName, user_ids: Sequence[UserId]) -> None:
                await self._query(server, user_ids, shared, wanted, answer)

            await self._of_each_server(missing, ask, timeout_ms, answer)
        return answer

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]], timeout_ms: int) -> RemoteAnswer:
        answer = RemoteAnswer()

        async def ask(server: ServerName, user_ids: Sequence[UserId]) -> None:
            asked = {str(user_id): dict(wanted[user_id]) for user_id in user_ids}
            claimed = read_claimed(await self._client.claim_keys(server, asked), asked)
            answer.one_time_keys.update(claimed)

        await self._of_each_server(list(wanted), ask, timeout_ms, answer)
        return answer

    async def _query(
        self,
        server: ServerName,
        user_ids: Sequence[UserId],
        shared: set[UserId],
        wanted: Mapping[UserId, Sequence[str]],
        answer: RemoteAnswer,
    ) -> None:
        """Raises: RemoteError, after all that could be had is in the answer."""
        fetched = await self._lists.fetch(server, [user_id for user_id in user_ids if user_id in shared])
        for user_id, keys in fetched.keys.items():
            _add_keys(answer, user_id, keys, wanted[UserId(user_id)])
        if fetched.error is not None:
            raise fetched.error
        others = [user_id for user_id in user_ids if user_id not in shared]
        for start in range(0, len(others), USERS_AT_ONCE):
            asked = {str(user_id): list(wanted[user_id]) for user_id in others[start : start + USERS_AT_ONCE]}
            told = await self._client.query_keys(server, asked)
            for user_id, devices in asked.items():
                _add_keys(answer, user_id, read_query_answer(told, user_id), devices)

    async def _of_each_server(
        self,
        user_ids: Sequence[UserId],
        ask: Callable[[ServerName, Sequence[UserId]], Awaitable[None]],
        timeout_ms: int,
        answer: RemoteAnswer,
    ) -> None:
        """Asks the servers of the users, all at the same time; comes back when all have answered, or in time.

        Who is too slow is not broken off: keys that were fetched are kept for the next who asks.
        """
        if not user_ids:
            return
        by_server: dict[ServerName, list[UserId]] = {}
        for user_id in user_ids:
            by_server.setdefault(user_id.domain, []).append(user_id)
        pending = set(by_server)
        all_done: Deferred[None] = Deferred()

        async def ask_one(server: ServerName) -> None:
            try:
                await ask(server, by_server[server])
            except RemoteError:
                answer.failures.setdefault(str(server), _UNREACHABLE)
            finally:
                pending.discard(server)
                if not pending and not all_done.called:
                    all_done.callback(None)

        for server in by_server:
            self._tasks.background("remote_keys.ask", ask_one(server))
        try:
            await self._clock.timeout(all_done, timeout_ms / 1000)
        except TimeoutError:
            for server in pending:
                answer.failures[str(server)] = _TOO_SLOW


def _add_keys(answer: RemoteAnswer, user_id: str, keys: Keys, device_ids: Sequence[str]) -> None:
    chosen: Json = dict(keys.devices)
    if device_ids:
        chosen = {device_id: chosen[device_id] for device_id in device_ids if device_id in chosen}
    user = str(user_id)
    answer.device_keys[user] = chosen
    if keys.master is not None:
        answer.master_keys[user] = keys.master
    if keys.self_signing is not None:
        answer.self_signing_keys[user] = keys.self_signing
