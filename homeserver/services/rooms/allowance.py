"""What an account may do to rooms at all, whatever the rooms themselves say: how often, and whether it is suspended.

Source: client-server API, "Rate limiting", "Account suspension".
"""

from collections.abc import Awaitable, Callable, Collection, Hashable

from attrs import frozen

from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.call import Requester
from matrix.ids import RoomId, UserId

# Raises: Forbidden for a suspended user of ours.
CheckNotSuspended = Callable[[str], Awaitable[None]]
IsExempt = Callable[[Requester], bool]


@frozen(kw_only=True)
class RoomLimits:
    """`admin_redactions` is for redactions of others' events; without it they count as messages."""

    messages: RateLimit
    admin_redactions: RateLimit | None
    creations: RateLimit
    joins: RateLimit
    joins_per_room: RateLimit
    invites_per_room: RateLimit
    invites_per_user: RateLimit
    invites_per_issuer: RateLimit


def nobody_is_exempt(requester: Requester) -> bool:
    return False


class Allowance:
    """Every method raises LimitExceeded, or Forbidden for a suspended account. `is_exempt` is from the limits only."""

    def __init__(
        self, *, limits: RoomLimits, check_not_suspended: CheckNotSuspended, is_exempt: IsExempt = nobody_is_exempt
    ) -> None:
        self._limits = limits
        self._check_not_suspended = check_not_suspended
        self._is_exempt = is_exempt

    async def act(self, requester: Requester) -> None:
        """For what has no limit of its own."""
        await self._check_not_suspended(requester.user_id)

    async def message(self, requester: Requester) -> None:
        await self._check_not_suspended(requester.user_id)
        self._take(requester, self._limits.messages)

    async def redaction(self, requester: Requester, *, own: bool) -> None:
        """A suspended user may still take back what is their own."""
        if not own:
            await self._check_not_suspended(requester.user_id)
        admins = self._limits.admin_redactions
        self._take(requester, self._limits.messages if own or admins is None else admins)

    async def creation(self, requester: Requester) -> None:
        await self._check_not_suspended(requester.user_id)
        self._take(requester, self._limits.creations)

    async def join(self, requester: Requester, room_id: RoomId) -> None:
        await self._check_not_suspended(requester.user_id)
        if not self._is_exempt(requester):
            self._limits.joins_per_room.check(room_id)
        self._take(requester, self._limits.joins)
        self._take(requester, self._limits.joins_per_room, room_id)

    async def invites(self, requester: Requester, room_id: RoomId | None, targets: Collection[UserId]) -> None:
        """Invites of one request; `room_id` is None for a new room's."""
        await self._check_not_suspended(requester.user_id)
        if self._is_exempt(requester):
            return
        for target in targets:
            self._limits.invites_per_user.check(target)
        self._limits.invites_per_issuer.take(requester.user_id, len(targets))
        if room_id is not None:
            self._limits.invites_per_room.take(room_id, len(targets))
        for target in targets:
            self._limits.invites_per_user.take(target)

    def _take(self, requester: Requester, limit: RateLimit, key: Hashable | None = None) -> None:
        if not self._is_exempt(requester):
            limit.take(requester.user_id if key is None else key)
