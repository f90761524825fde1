"""Invites for our users: signed by us, if they are what they must be, and shown to the user.

Source: server-server API, "Inviting to a room".
"""

from typing import Any, Protocol

from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.submitted import Checks, Submission, read_membership, signed_by, verify
from homeserver.services.rooms.intake import Signer
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.errors import BadEvent, InvalidParam
from matrix.event_format import parse_pdu
from matrix.events import Event, Json
from matrix.ids import BadIdentifier, RoomId, UserId
from matrix.room_versions import RoomVersion

# Synapse shows nine events of a room.
MAX_SHOWN = 100
_CREATE = ("m.room.create", "")


class ReceivedInvites(Protocol):
    """In `homeserver.services.rooms.remote_membership`."""

    async def receive(self, event: Event, version: RoomVersion, invite_room_state: Any) -> None:
        """Raises: Forbidden, InvalidParam, LimitExceeded, if the user may not be invited so."""
        ...


class InvitesFromServers:
    def __init__(
        self, *, admission: Admission, checks: Checks, received: ReceivedInvites, signer: Signer, is_local: IsLocal
    ) -> None:
        self._admission = admission
        self._checks = checks
        self._received = received
        self._signer = signer
        self._is_local = is_local

    async def sign(self, submission: Submission, version: RoomVersion, shown: Any) -> Event:
        """The invite with our signature. `shown` is the request's invite_room_state.

        Raises: BadRequest, M_INVALID_PARAM for what is no invite of a user of ours; Forbidden.
        """
        event = read_membership(submission, "invite", version)
        self._check_is_ours(event)
        await self._admission.check_acl(submission.origin, event.room_id)
        await verify(event, self._checks)
        if version.room_id_is_create_hash:
            await self._check_shown(shown, event.room_id, version)
        signed = signed_by(self._signer, event)
        await self._received.receive(signed, version, shown)
        return signed

    def _check_is_ours(self, invite: Event) -> None:
        try:
            target = UserId.parse(invite.key[1])
        except BadIdentifier as error:
            raise InvalidParam("The invite's state_key is not a user ID") from error
        if not self._is_local(target.domain):
            raise InvalidParam("The invite event must be for this server")

    async def _check_shown(self, shown: Any, room_id: RoomId, version: RoomVersion) -> None:
        """The create event, whose hash is the room's id, must be there, and every PDU must be of the room.

        The spec wants PDUs only. Of what is no PDU nothing can be checked; it is let pass, since Synapse sends all but
        the create event as stripped state.
        """
        if not isinstance(shown, list) or len(shown) > MAX_SHOWN or not all(isinstance(one, dict) for one in shown):
            raise InvalidParam(f"invite_room_state must be a list of at most {MAX_SHOWN} events")
        if not any((one.get("type"), one.get("state_key")) == _CREATE for one in shown):
            raise InvalidParam("invite_room_state has no m.room.create event")
        pdus = [one for one in shown if "signatures" in one or one.get("type") == "m.room.create"]
        for pdu in pdus:
            _check_is_of(pdu, room_id, version)
        if not all(isinstance(one, Event) for one in await self._checks(pdus, version)):
            raise InvalidParam("invite_room_state has an event that is not signed as it must be")


def _check_is_of(pdu: Json, room_id: RoomId, version: RoomVersion) -> None:
    try:
        event = parse_pdu(pdu, version)
    except BadEvent as error:
        raise InvalidParam(f"invite_room_state: {error}") from error
    if event.room_id != room_id:
        raise InvalidParam("invite_room_state has an event of another room")
