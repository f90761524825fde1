"""A membership that another server has made and signed, and hands to us: is it what the request says, and truly theirs?

Source: server-server API, PUT /send_join, /send_leave, /send_knock, /invite; "Validating hashes and signatures on
received events".
"""

from collections.abc import Awaitable, Callable, Sequence

from attrs import field, frozen

from homeserver.services.rooms.intake import Signer
from matrix.errors import BadEvent, BadRequest, EventTooLarge, InvalidParam, TooLarge
from matrix.event_format import parse_pdu
from matrix.events import Event, Json, from_pdu
from matrix.hashing import check_content_hash
from matrix.ids import EventId, RoomId, ServerName
from matrix.room_versions import RoomVersion
from matrix.signing import sign_event

# Format, hashes and signatures: each PDU's event, or what is wrong with it. In `homeserver.services.rooms.remote`:
# PduChecks.check.
Checks = Callable[[Sequence[Json], RoomVersion], Awaitable[Sequence[object]]]


@frozen(kw_only=True)
class Submission:
    """What stands in the request: its path and its body."""

    origin: ServerName
    room_id: RoomId
    event_id: EventId
    pdu: Json = field(repr=False)


def read_membership(submission: Submission, membership: str, version: RoomVersion) -> Event:
    """The event, of a format that the room version has, and what the path says. Nothing is verified yet.

    Raises: BadRequest, M_INVALID_PARAM for an event of another kind; TooLarge.
    """
    try:
        event = parse_pdu(submission.pdu, version)
    except EventTooLarge as error:
        raise TooLarge(str(error)) from error
    except BadEvent as error:
        raise BadRequest(str(error)) from error
    if event.type != "m.room.member" or event.state_key is None:
        raise InvalidParam("Not an m.room.member event")
    if event.membership != membership:
        raise InvalidParam(f"Not a {membership} event")
    if event.room_id != submission.room_id:
        raise InvalidParam("Room ID in body does not match that in request path")
    if event.event_id != submission.event_id:
        raise InvalidParam("Event ID of the body does not match that in request path")
    if event.sender.domain != submission.origin:
        raise InvalidParam("The event's sender is not of the server that sends it")
    return event


async def verify(event: Event, checks: Checks) -> None:
    """Raises: InvalidParam, where a hash or a signature is wrong."""
    # Of a broken hash follows elsewhere that the event is redacted; but who makes one now can make it right.
    if not check_content_hash(event.pdu, event.version):
        raise InvalidParam("The event's content hash is wrong")
    (checked,) = await checks([event.pdu], event.version)
    if not isinstance(checked, Event):
        raise InvalidParam(f"Event {event.event_id} is not signed as it must be: {str(checked)[:200]}")


def signed_by(signer: Signer, event: Event) -> Event:
    """The event with our signature beside those that it has."""
    pdu = sign_event(event.pdu, signer.server_name, signer.key, event.version)
    return from_pdu(pdu, event.version, event.event_id)
