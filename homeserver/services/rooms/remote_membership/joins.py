"""Joining a room by way of a server that is in it.

One join of a room goes on at a time: the next user of ours who wants in finds the room here and joins by our own word.

Source: server-server API, "Joining Rooms", "Restricted rooms".
"""

from collections.abc import Sequence

from attrs import frozen

from federation.outbound.client import FederationClient
from federation.outbound.errors import BadAnswer
from homeserver.services.rooms.guest_access import check_guest_access
from homeserver.services.rooms.remote.completion import Completion
from homeserver.services.rooms.remote.pdu_checks import Faulty, PduChecks
from homeserver.services.rooms.remote.receiver import Receiver
from homeserver.services.rooms.remote.room_import import RoomImport
from homeserver.services.rooms.remote_membership.attempts import Attempts
from homeserver.services.rooms.remote_membership.handshake import Handshake
from homeserver.services.rooms.remote_membership.template import AUTHORISED_VIA, Wanted
from matrix.errors import Forbidden
from matrix.events import Event, Json
from matrix.ids import BadIdentifier, EventId, RoomId, ServerName, UserId
from storage.events import Events

# As many as no room has.
MAX_SERVERS = 100_000


@frozen(kw_only=True)
class Entrance:
    """What lets a room in that another server has shown: all of it, or a join of a room that we are in."""

    checks: PduChecks
    rooms: RoomImport
    completion: Completion
    receiver: Receiver
    events: Events


class RemoteJoins:
    def __init__(
        self, *, handshake: Handshake, client: FederationClient, attempts: Attempts, entrance: Entrance
    ) -> None:
        self._handshake = handshake
        self._client = client
        self._attempts = attempts
        self._entrance = entrance

    async def check_guest_access(self, room_id: RoomId, servers: Sequence[ServerName]) -> None:
        """Raises: Forbidden, unless one of the servers says that guests may join."""
        await check_guest_access(self._client, room_id, servers)

    async def join(
        self, user_id: UserId, room_id: RoomId, content: Json, servers: Sequence[ServerName], *, is_here: bool
    ) -> EventId:
        """Returns when the room and the join are stored. The caller holds the room's turn.

        `is_here`: we are in the room, and only want another server's word for a restricted join. Raises: MatrixError.
        """
        wanted = Wanted("join", room_id, user_id)

        async def ask(server: ServerName) -> EventId:
            return await self._join(server, wanted, content, is_here=is_here)

        return await self._attempts.first("join the room", servers, ask)

    async def _join(self, server: ServerName, wanted: Wanted, content: Json, *, is_here: bool) -> EventId:
        event = await self._handshake.prepare(server, wanted, content)
        answer = await self._client.send_join(server, event.room_id, event.event_id, event.pdu, omit_members=True)
        event = await self._accepted(server, event, answer)
        if is_here:
            await self._receive(server, event)
        else:
            await self._import(server, event, answer)
        return event.event_id

    async def _receive(self, server: ServerName, event: Event) -> None:
        await self._entrance.receiver.receive(server, event.room_id, event.pdu)
        stored = await self._entrance.events.find(event.event_id)
        if stored is None or not stored.visible:
            raise BadAnswer(server, "the room does not allow the join that it gave")

    async def _import(self, server: ServerName, event: Event, answer: Json) -> None:
        servers = _servers(server, answer) if answer.get("members_omitted") is True else None
        try:
            await self._entrance.rooms.import_room(
                version=event.version,
                room_id=event.room_id,
                join=event,
                state=answer["state"],
                auth_chain=answer["auth_chain"],
                origin=server,
                servers=servers,
            )
        except Forbidden as error:
            # It has let the user in, and shows a room that does not.
            raise BadAnswer(server, error.message) from error
        if servers is not None:
            await self._entrance.completion.begin(event.room_id)

    async def _accepted(self, server: ServerName, event: Event, answer: Json) -> Event:
        """The join as the other server passes it on. For a restricted join only that one has all signatures."""
        signed = answer.get("event")
        if not isinstance(signed, dict):
            if AUTHORISED_VIA in event.content:
                raise BadAnswer(server, "a restricted join came back without its signature")
            return event
        (checked,) = await self._entrance.checks.check([signed], event.version)
        if isinstance(checked, Faulty) or checked.event_id != event.event_id:
            raise BadAnswer(server, "the join came back as another event")
        return checked


def _servers(server: ServerName, answer: Json) -> list[ServerName]:
    """Who is in the room, first the one that says so. Raises: BadAnswer."""
    listed = answer.get("servers_in_room")
    if not isinstance(listed, list) or len(listed) > MAX_SERVERS:
        raise BadAnswer(server, "it left members out, and does not say which servers are in the room")
    found = [server]
    for name in listed:
        try:
            found.append(ServerName.parse(name if isinstance(name, str) else ""))
        except BadIdentifier:
            continue
    return list(dict.fromkeys(found))
