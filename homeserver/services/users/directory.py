"""Finding users by name.

Source: client-server API, "User Directory".
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.call import Requester
from matrix.errors import MatrixError
from matrix.ids import BadIdentifier, UserId
from storage import user_directory as rows
from storage.database import Database
from storage.stream import Stream

# Positions taken up in one transaction.
BATCH = 1_000
# A search does not wait for more than this; the rest is found as the background comes to it.
BATCHES_OF_SEARCH = 10
EVERY_S, BATCHES_OF_BACKGROUND = 10.0, 5
MAX_LIMIT = 50
# Users of other servers whose profile is asked for in one round, and when it is tried again.
ASKED_EVERY_S, ASKED_AT_ONCE, AGAIN_MS = 15.0, 20, 24 * 3600 * 1000

# The profile of another server's user. Raises: MatrixError.
ProfileOf = Callable[[UserId], Awaitable[dict[str, Any]]]
RoomsOf = Callable[[str], Awaitable[Sequence[int]]]


@frozen(kw_only=True)
class DirectorySettings:
    enabled: bool = True
    search_all_users: bool = False
    prefer_local_users: bool = False
    exclude_remote_users: bool = False
    show_locked_users: bool = False


class UserDirectory:
    """`rooms_of` gives the rooms that a user is joined to."""

    def __init__(
        self,
        *,
        database: Database,
        stream: Stream,
        clock: Clock,
        rooms_of: RoomsOf,
        profile_of: ProfileOf,
        settings: DirectorySettings,
        limit: RateLimit,
    ) -> None:
        self._database = database
        self._stream = stream
        self._clock = clock
        self._rooms_of = rooms_of
        self._profile_of = profile_of
        self._settings = settings
        self._limit = limit
        self._upto = -1

    async def search(self, requester: Requester, term: str, limit: int) -> dict[str, Any]:
        """`results` and `limited`. Raises: LimitExceeded."""
        settings = self._settings
        if not settings.enabled:
            return {"results": [], "limited": False}
        self._limit.take(requester.limit_key)
        user_id = requester.user_id
        await self._take_up(BATCHES_OF_SEARCH)
        wanted = min(limit, MAX_LIMIT)
        asked = rows.Search(
            searcher=user_id,
            term=term,
            limit=wanted + 1,
            rooms=await self._rooms_of(user_id),
            finds_all=settings.search_all_users,
            local_first=settings.prefer_local_users,
            local_only=settings.exclude_remote_users,
            shows_locked=settings.show_locked_users,
        )
        found = await self._database.read(rows.search, asked)
        return {"results": [_result(one) for one in found[:wanted]], "limited": len(found) > wanted}

    async def catch_up(self) -> None:
        """For the background."""
        if self._settings.enabled:
            await self._take_up(BATCHES_OF_BACKGROUND)

    async def ask_servers(self) -> None:
        """For the background: the profiles of those whose names no public room tells."""
        if not self._settings.enabled or self._settings.exclude_remote_users:
            return
        now_ms = self._clock.now_ms()
        users = await self._database.run(rows.find_to_ask, now_ms, now_ms + AGAIN_MS, ASKED_AT_ONCE)
        answers = []
        silent = set()
        for user_id in map(UserId, users):
            if user_id.domain in silent:
                continue
            try:
                profile = await self._profile_of(UserId.parse(user_id))
            except (MatrixError, BadIdentifier):
                silent.add(user_id.domain)
            else:
                answers.append((user_id, profile.get("displayname"), profile.get("avatar_url")))
        if answers:
            await self._database.run(rows.put_answers, answers)

    async def _take_up(self, batches: int) -> None:
        for _ in range(batches):
            position = self._stream.position
            if position == self._upto:
                return
            if not await self._database.run(rows.take_up, BATCH):
                self._upto = position


def _result(found: rows.Found) -> dict[str, Any]:
    """What is not known is not there: clients take null for a broken answer."""
    fields = {"display_name": found.display_name, "avatar_url": found.avatar_url}
    return {"user_id": found.user_id, **{name: value for name, value in fields.items() if value is not None}}
