"""Joins users of ours where they are invited to, if the operator says so.

Source: Synapse, `auto_accept_invites`.
"""

import logging
from collections.abc import Awaitable, Callable

from attrs import frozen

from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.web.call import Requester
from matrix.errors import MatrixError
from matrix.events import Event
from matrix.ids import UserId
from storage.change import Entry, Kind

logger = logging.getLogger(__name__)

# Another server stores its invite only after we have: who is too quick is refused, and comes again after so long.
_AGAIN_AFTER_S = (0.2, 1.0, 5.0, 30.0)

# The member event of this number, of a room that this server is in or not.
EventOf = Callable[[int], Awaitable[Event | None]]


@frozen(kw_only=True)
class AcceptRules:
    only_direct: bool
    only_from_local: bool

    def accept(self, invite: Event, is_local: IsLocal) -> bool:
        is_direct = invite.content.get("is_direct") is True
        return (is_direct or not self.only_direct) and (is_local(invite.sender.domain) or not self.only_from_local)


class AutoAccept:
    """`read_stream` reads the stream. Every process does the same: who comes second finds the user joined."""

    def __init__(
        self,
        *,
        rules: AcceptRules,
        heads: Heads,
        members: Members,
        membership: Membership,
        event_of: EventOf,
        is_local: IsLocal,
        tasks: Tasks,
    ) -> None:
        self._rules = rules
        self._heads = heads
        self._members = members
        self._membership = membership
        self._event_of = event_of
        self._is_local = is_local
        self._tasks = tasks

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            user_id = entry.user_id
            if user_id is None or entry.room_nid is None or entry.kind not in (Kind.EVENT, Kind.ROOM):
                continue
            if self._is_local(UserId(user_id).domain) and _is_invite(entry):
                self._tasks.background("rooms.auto_accept", self._accept(UserId(user_id), entry.room_nid))

    async def _accept(self, user_id: UserId, room_nid: int) -> None:
        for after_s in (*_AGAIN_AFTER_S, None):
            try:
                return await self._join(user_id, room_nid)
            except MatrixError as error:
                if after_s is None:
                    logger.info("%s was not joined to room %d: %s", user_id, room_nid, error)
                    return
            await self._tasks.nap(after_s)

    async def _join(self, user_id: UserId, room_nid: int) -> None:
        """Raises: MatrixError. Does nothing for who is not invited any more."""
        row = (await self._members.rooms_of(user_id)).get(room_nid)
        if row is None or row.membership != "invite":
            return
        invite = await self._event_of(row.event_nid)
        if invite is None or not self._rules.accept(invite, self._is_local):
            return
        room = (await self._heads.rooms([room_nid]))[room_nid]
        via = [] if self._is_local(invite.sender.domain) else [invite.sender.domain]
        await self._membership.join(Requester(user_id), room.room_id, limited=False, via=via)


def _is_invite(entry: Entry) -> bool:
    if entry.kind is Kind.EVENT:
        return not entry.body.flags and entry.body.event.membership == "invite"
    return isinstance(entry.body, dict) and entry.body.get("membership") == "invite"
