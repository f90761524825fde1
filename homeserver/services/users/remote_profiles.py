"""Profiles of other servers' users, asked for when somebody wants to see them and known for a short while.

What they say of themselves in a room comes with the room's events; this is for all else.

Source: server-server API, GET /query/profile.
"""

from typing import Any, Protocol

from federation.outbound.errors import RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.remote_errors import not_found_or
from matrix.errors import NotFound
from matrix.ids import ServerName, UserId
from storage.profiles import Profile

KEEP_S, KEPT = 60.0, 5_000
# What every server shows as text.
_TEXTS = ("displayname", "avatar_url")


class ProfilesElsewhere(Protocol):
    """Raises: RemoteError."""

    async def profile(self, server: ServerName, user_id: UserId, field: str | None = None) -> dict[str, Any]: ...


class RemoteProfiles:
    def __init__(self, *, elsewhere: ProfilesElsewhere, clock: Clock) -> None:
        self._elsewhere = elsewhere
        # None: there is no such user, or field.
        self._known: Lru[tuple[UserId, str | None], Profile | None] = Lru("remote_profiles", KEPT, clock, KEEP_S)

    async def of(self, user_id: UserId, field: str | None) -> Profile:
        """The profile, or one field of it. Raises: NotFound; MatrixError if the server does not say."""
        whole = self._known.get((user_id, None))
        if whole is not None:
            return whole
        key = (user_id, field)
        missing: Profile = {}
        known = self._known.get(key, missing)
        if known is missing:
            known = await self._ask(user_id, field)
            self._known.set(key, known)
        if known is None:
            raise NotFound("Profile was not found")
        return known

    async def _ask(self, user_id: UserId, field: str | None) -> Profile | None:
        try:
            answer = await self._elsewhere.profile(user_id.domain, user_id, field)
        except RemoteError as error:
            failure = not_found_or(error, "Profile was not found")
            if failure.status == 404:
                return None
            raise failure from error
        return {name: value for name, value in answer.items() if name not in _TEXTS or isinstance(value, str)}
