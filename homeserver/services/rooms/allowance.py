"""What an account may do to rooms at all, whatever the rooms themselves say: how often, and whether it is suspended.

Source: client-server API, "Rate limiting", "Account suspension".
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence

from attrs import frozen

from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.call import Requester
from matrix.ids import RoomId, UserId

# Raises: Forbidden for a suspended user of ours.
CheckNotSuspended = Callable[[str], Awaitable[None]]
_Use = tuple[RateLimit, Hashable, int]  # the limit, whose, how often


@frozen(kw_only=True)
class RoomLimits:
    """`admin_redactions` is for redactions of others' events; without it they count as messages."""

    messages: RateLimit
    admin_redactions: RateLimit | None
    creations: RateLimit
    joins: RateLimit
    remote_joins: RateLimit
    joins_per_room: RateLimit
    invites_per_room: RateLimit
    invites_per_user: RateLimit
    invites_per_issuer: RateLimit


class Allowance:
    """Every method raises LimitExceeded, unless the requester is exempt, or Forbidden for a suspended account."""

    def __init__(self, *, limits: RoomLimits, check_not_suspended: CheckNotSuspended) -> None:
        self._limits = limits
        self._check_not_suspended = check_not_suspended

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

    async def join(self, requester: Requester, room_id: RoomId, *, only_check: bool = False) -> None:
        """`only_check` takes nothing: the limits of a room are not for those to use up whom it does not let in."""
        await self._check_not_suspended(requester.user_id)
        limits = self._limits
        wanted: list[_Use] = [(limits.joins, requester.user_id, 1), (limits.joins_per_room, room_id, 1)]
        self._use(requester, wanted, only_check)

    async def remote_join(self, requester: Requester, room_id: RoomId) -> None:
        """Of a room that we are not in: another server and we have work with it whether it lets the user in or not."""
        await self._check_not_suspended(requester.user_id)
        limits = self._limits
        self._use(requester, [(limits.remote_joins, requester.user_id, 1), (limits.joins_per_room, room_id, 1)], False)

    def join_of_other(self, room_id: RoomId, *, only_check: bool = False) -> None:
        """Of another server's user, by way of us. Its server has limits of its own."""
        self._limits.joins_per_room.check(room_id)
        if not only_check:
            self._limits.joins_per_room.take(room_id)

    def received_invite(self, sender: UserId, room_id: RoomId, target: UserId) -> None:
        """By a user of another server."""
        limits = self._limits
        for limit, key in ((limits.invites_per_room, room_id), (limits.invites_per_user, target)):
            limit.check(key)
        limits.invites_per_issuer.take(sender)
        limits.invites_per_room.take(room_id)
        limits.invites_per_user.take(target)

    async def invites(
        self, requester: Requester, room_id: RoomId | None, targets: Collection[UserId], *, only_check: bool = False
    ) -> None:
        """Invites of one request; `room_id` is None for a new room's. `only_check` as for joins."""
        await self._check_not_suspended(requester.user_id)
        limits = self._limits
        wanted: list[_Use] = [(limits.invites_per_issuer, requester.user_id, len(targets))]
        if room_id is not None:
            wanted.append((limits.invites_per_room, room_id, len(targets)))
        wanted += [(limits.invites_per_user, target, 1) for target in targets]
        self._use(requester, wanted, only_check)

    def _use(self, requester: Requester, wanted: Sequence[_Use], only_check: bool) -> None:
        """Takes from all the limits or from none."""
        if requester.is_exempt:
            return
        for limit, key, times in wanted:
            limit.check(key, times)
        if not only_check:
            for limit, key, times in wanted:
                limit.take(key, times)

    def _take(self, requester: Requester, limit: RateLimit) -> None:
        self._use(requester, [(limit, requester.user_id, 1)], only_check=False)
