"""What other servers tell of their users' devices: m.device_list_update and m.signing_key_update.

Each update names the ones before it (`prev_id`). If we have those, what it says of one device is taken over; if not,
something was lost, and the whole list is fetched again. Of a list that we do not keep, our users' clients hear only
that it changed: whoever asks for it then fetches it.

Source: server-server API, "Device Management".
"""

from enum import Enum
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.e2ee.remote_lists import CLAIMED_MS, RemoteLists
from homeserver.services.e2ee.remote_shapes import (
    is_name,
    is_stream_id,
    read_listed_device,
    with_signing_keys,
)
from homeserver.services.e2ee.seams import Commit, Json
from matrix.errors import BadRequest, InvalidParam
from matrix.ids import BadIdentifier, ServerName, UserId
from storage import device_lists
from storage import remote_devices as rows
from storage.change import Change
from storage.database import Database
from storage.loader import Loader
from storage.remote_devices import ListState, Outdated

# Another process may be told of the same user at the same time.
ATTEMPTS = 5
MAX_PREV_IDS = 1_000
# A list that could not be fetched is tried again this soon when its server speaks.
SOON_MS = 10_000


@frozen
class Update:
    """An m.device_list_update. `keys` is None for a device that is gone, or shows none."""

    user_id: UserId
    device_id: str
    stream_id: int
    prev_ids: frozenset[int]
    keys: Json | None


class Verdict(Enum):
    """What an update is to a list that we keep."""

    KNOWN = "known"
    COVERED = "covered"  # the list was fetched after it
    NEXT = "next"
    GAP = "gap"


class RemoteUpdates:
    """Not checked: that the two methods' content comes from `origin`, which the transaction's signature says."""

    def __init__(
        self, *, database: Database, reactor: IReactorTime, commit: Commit, lists: RemoteLists, clock: Clock
    ) -> None:
        self._database = database
        self._states = Loader(rows.find_states, database=database, reactor=reactor)
        self._commit = commit
        self._lists = lists
        self._clock = clock
        self._users = Linearizer()

    async def device_list_update(self, origin: ServerName, content: Json) -> None:
        """Raises: BadRequest, InvalidParam."""
        update = read_update(origin, content)
        async with self._users.of(update.user_id):
            for _ in range(ATTEMPTS):
                try:
                    return await self._take(update)
                except Outdated:
                    continue

    async def signing_key_update(self, origin: ServerName, content: Json) -> None:
        """Raises: BadRequest, InvalidParam."""
        user_id = _user_of(origin, content)
        async with self._users.of(user_id):
            for _ in range(ATTEMPTS):
                try:
                    return await self._take_signing_keys(user_id, content)
                except Outdated:
                    continue

    async def _take(self, update: Update) -> None:
        state = await self._find(update.user_id)
        if state is None:
            # A server so introduces a user who came into a room: that they came is told already, and there are no keys.
            if update.prev_ids or update.keys is not None:
                await self._announce_unkept(update.user_id)
            return
        verdict = judge(state, update)
        if verdict is Verdict.NEXT:
            change = Change()
            device_lists.record(change, update.user_id, {"device_id": update.device_id})
            change.run(
                lambda cur: rows.put_update(
                    cur, update.user_id, state.version, update.stream_id, update.device_id, update.keys
                )
            )
            await self._commit(change)
        elif verdict is Verdict.COVERED:
            await self._database.run(rows.set_update, update.user_id, update.stream_id, stale=False, retry_ms=0)
        elif verdict is Verdict.GAP:
            await self._mark_stale(update.user_id, update.stream_id, state)

    async def _take_signing_keys(self, user_id: UserId, content: Json) -> None:
        state = await self._find(user_id)
        if state is None:
            return await self._announce_unkept(user_id)
        if state.stale:
            return await self._mark_stale(user_id, None, state)
        wanted = (content.get("master_key") or state.master, content.get("self_signing_key") or state.self_signing)
        keys = with_signing_keys(user_id, {}, *wanted)
        if keys.master is None or (keys.master, keys.self_signing) == (state.master, state.self_signing):
            return None
        change = Change()
        device_lists.record(change, user_id, {"cross_signing": True})
        change.run(lambda cur: rows.put_signing_keys(cur, user_id, state.version, keys.master, keys.self_signing))
        await self._commit(change)
        return None

    async def _find(self, user_id: UserId) -> ListState | None:
        return await self._states.load(user_id)

    async def _announce_unkept(self, user_id: UserId) -> None:
        if await self._lists.shares_a_room(user_id):
            change = Change()
            device_lists.record(change, user_id, {"unkept": True})
            await self._commit(change)

    async def _mark_stale(self, user_id: UserId, update_id: int | None, state: ListState) -> None:
        """The list is to be fetched: now, or if that has failed of late, soon."""
        now_ms = self._clock.now_ms()
        wait_ms = SOON_MS if state.stale and state.failures else CLAIMED_MS
        await self._database.run(rows.set_update, user_id, update_id, stale=True, retry_ms=now_ms + wait_ms)
        if not (state.stale and state.failures):
            self._lists.refresh(user_id)


def judge(state: ListState, update: Update) -> Verdict:
    """What the update is to the list."""
    if state.stale:
        return Verdict.GAP
    if update.stream_id == state.update_id:
        return Verdict.KNOWN
    known = {state.stream_id, state.update_id}
    if not update.prev_ids or not update.prev_ids <= known:
        # Told once more of what the list has: a server does so to one that it has just come to share a room with.
        return Verdict.KNOWN if not update.prev_ids and update.stream_id == state.stream_id else Verdict.GAP
    is_covered = state.stream_id is not None and update.stream_id <= state.stream_id
    return Verdict.COVERED if is_covered else Verdict.NEXT


def read_update(origin: ServerName, content: Json) -> Update:
    """Raises: BadRequest, InvalidParam."""
    user_id = _user_of(origin, content)
    device_id, stream_id = content.get("device_id"), content.get("stream_id")
    prev_ids = content.get("prev_id") or []
    if not is_name(device_id) or not is_stream_id(stream_id):
        raise BadRequest("device_id or stream_id is missing, or none")
    if not isinstance(prev_ids, list) or len(prev_ids) > MAX_PREV_IDS or not all(map(is_stream_id, prev_ids)):
        raise BadRequest("prev_id must be an array of integers")
    keys = None if content.get("deleted") is True else read_listed_device(content, user_id)
    return Update(user_id, device_id, stream_id, frozenset(prev_ids), keys)


def _user_of(origin: ServerName, content: Json) -> UserId:
    """The user that the content is about, who must be of the server that speaks."""
    raw: Any = content.get("user_id")
    try:
        user_id = UserId.parse(raw if isinstance(raw, str) else "")
    except BadIdentifier as error:
        raise InvalidParam(f"user_id: {error}") from error
    if user_id.domain != origin:
        raise InvalidParam(f"{user_id} is not a user of {origin}")
    return user_id
