"""Invites of other servers for users of ours, and what becomes of them before our user has answered.

Source: server-server API, "Inviting to a room"; client-server API, "Invite permission".
"""

from collections.abc import Awaitable, Callable
from typing import Any

from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.remote_membership.out_of_band import Known, OutOfBand
from homeserver.services.rooms.remote_membership.template import version_fits
from homeserver.services.rooms.residence import Residence
from homeserver.services.rooms.stripped import stripped
from matrix.errors import Forbidden, InvalidParam
from matrix.events import Event
from matrix.ids import ServerName, UserId
from matrix.room_versions import RoomVersion

# Is there such an account of ours, and is it in use?
IsUser = Callable[[UserId], Awaitable[bool]]


class ReceivedInvites:
    def __init__(
        self,
        *,
        out_of_band: OutOfBand,
        residence: Residence,
        permission: InvitePermission,
        allowance: Allowance,
        is_user: IsUser,
    ) -> None:
        self._out_of_band = out_of_band
        self._residence = residence
        self._permission = permission
        self._allowance = allowance
        self._is_user = is_user

    async def check(self, event: Event) -> None:
        """May the user be invited so? To be asked before we sign. Raises: Forbidden, InvalidParam, LimitExceeded."""
        target = UserId(event.key[1])
        known = await self._residence.version_of(event.room_id)
        if not version_fits(event.version, event.room_id) or known not in (None, event.version.id):
            raise InvalidParam("The room is not of this room version")
        if not await self._is_user(target):
            raise Forbidden(f"{target} takes no invites")
        await self._permission.check_remote(event.sender, target)
        self._allowance.received_invite(event.sender, event.room_id, target)

    async def receive(self, event: Event, version: RoomVersion, invite_room_state: Any) -> None:
        """Shows the invite to its user; returns when it is stored. `event` has been checked and signed by us.

        In a room that we are in the invite counts when the room has it: it comes once more, as every event there.
        Raises: as `check`.
        """
        assert event.version == version
        await self.check(event)
        async with self._out_of_band.turns.of((event.room_id, event.state_key)):
            if not await self._residence.is_here(event.room_id):
                await self._out_of_band.put(event, event.sender.domain, stripped(invite_room_state))

    async def withdraw(self, event: Event, origin: ServerName) -> bool:
        """An event of a room that we are not in, signatures checked: does it end an invite or knock of a user of ours?

        What the room says of it we cannot know. So it counts from who invited, or from the server that we knocked at.
        Source: as Synapse.
        """
        if event.membership not in ("leave", "ban") or event.sender == event.state_key:
            return False
        async with self._out_of_band.turns.of((event.room_id, event.state_key)):
            known = await self._out_of_band.find(UserId(event.key[1]), event.room_id)
            if known is None or not _may_end(known, event, origin) or await self._residence.is_here(event.room_id):
                return False
            await self._out_of_band.put(event, origin, [])
            return True


def _may_end(known: Known, event: Event, origin: ServerName) -> bool:
    before = known.event
    if before.version != event.version:
        return False
    # It is allowed by the membership that it ends. One that comes late, after a newer invite or knock, ends nothing.
    if before.event_id not in event.auth_events:
        return False
    if before.membership == "invite":
        return before.sender == event.sender
    return before.membership == "knock" and known.server == origin
