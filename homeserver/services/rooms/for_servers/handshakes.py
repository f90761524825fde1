"""The second half of a handshake: another server's user joins, leaves or knocks by the event that it has signed.

Source: server-server API, PUT /send_join, /send_leave, /send_knock, "Restricted rooms".
"""

from collections.abc import Awaitable, Callable

from attrs import frozen

from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.join_answer import JoinAnswers
from homeserver.services.rooms.for_servers.pdu_lists import Body
from homeserver.services.rooms.for_servers.restricted import RestrictedForServers
from homeserver.services.rooms.for_servers.submitted import Checks, Submission, read_membership, verify
from homeserver.services.rooms.heads import Heads
from matrix.errors import AuthRuleFailed, BadEvent, BadRequest, Forbidden, InvalidParam
from matrix.events import Event, Json
from matrix.ids import RoomId
from matrix.room_versions import ROOM_VERSIONS
from storage.events import Events, StoredEvent

# Raises LimitExceeded, where too many join a room; else the join counts.
ChargeJoin = Callable[[RoomId], None]


@frozen
class Inlet:
    """`accept` puts an event into its room. In `homeserver.services.rooms.remote`: PduChecks.check, Receiver.accept."""

    check: Checks
    accept: Callable[[Event], Awaitable[StoredEvent]]


class Handshakes:
    """Everything raises NotFound for a room in which none of our users is, Forbidden, BadRequest, TooLarge."""

    def __init__(
        self,
        *,
        admission: Admission,
        heads: Heads,
        events: Events,
        answers: JoinAnswers,
        restricted: RestrictedForServers,
        inlet: Inlet,
        charge_join: ChargeJoin,
    ) -> None:
        self._admission = admission
        self._heads = heads
        self._events = events
        self._answers = answers
        self._restricted = restricted
        self._inlet = inlet
        self._charge_join = charge_join

    async def join(self, submission: Submission, *, omit_members: bool) -> Body:
        """What the other server needs to be in the room: the state before the join, and what authorises it."""
        event = await self._read(submission, "join")
        head = await self._heads.get(event.room_id)
        event = await self._restricted.signed(head, event)
        await verify(event, self._inlet.check)
        hosts = await self._admission.hosts_of(head.room_nid)
        stored = await self._put(event)
        return await self._answers.of(stored, hosts, omit_members=omit_members)

    async def leave(self, submission: Submission) -> None:
        event = await self._read(submission, "leave")
        await verify(event, self._inlet.check)
        await self._put(event)

    async def knock(self, submission: Submission) -> list[Json]:
        """The PDUs that tell the user which room it is."""
        event = await self._read(submission, "knock")
        if not event.version.knocking:
            raise Forbidden("This room version does not support knocking")
        await verify(event, self._inlet.check)
        await self._put(event)
        return await self._answers.of_knock(event)

    async def _read(self, submission: Submission, membership: str) -> Event:
        room = await self._admission.to_resident(submission.origin, submission.room_id)
        event = read_membership(submission, membership, ROOM_VERSIONS[room.version])
        if event.state_key != event.sender:
            raise InvalidParam("The event's state_key is not its sender")
        return event

    async def _put(self, event: Event) -> StoredEvent:
        """The event in the room; who sends it again, because our answer was lost, finds it there."""
        known = await self._events.find(event.event_id)
        # In the oldest room versions an id is only what its sender says.
        if known is not None and known.event.pdu.get("hashes") != event.pdu["hashes"]:
            raise InvalidParam("Another event has this event ID")
        if known is not None and known.visible:
            return known
        if event.membership == "join":
            self._charge_join(event.room_id)
        try:
            return await self._inlet.accept(event)
        except AuthRuleFailed as error:
            raise Forbidden(error.reason) from error
        except BadEvent as error:
            raise BadRequest(str(error)) from error
