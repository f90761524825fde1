"""Other servers' users join, leave and knock with our help.

Source: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms (Rejecting Invites)".
"""

from federation.inbound.pdu_replies import body_reply
from federation.inbound.routes import V1, V2, ServerApi, origin_of, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.for_servers.handshakes import Handshakes
from homeserver.services.rooms.for_servers.pdu_lists import PduLists
from homeserver.services.rooms.for_servers.submitted import Submission
from homeserver.services.rooms.for_servers.templates import Templates
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from matrix.canonical_json import MAX_BODY_DEPTH
from matrix.ids import EventId, RoomId, UserId

# Of room versions that a server may say it knows.
MAX_VERSIONS = 200
_PLACE = "/{room_id}/{event_id}"


class MembershipForServersApi(ServerApi):
    def __init__(self, *, turns: Turns, templates: Templates, handshakes: Handshakes, lists: PduLists) -> None:
        super().__init__(turns=turns)
        self._templates = templates
        self._handshakes = handshakes
        self._lists = lists

    @server_route("GET", f"{V1}/make_join/{{room_id}}/{{user_id}}")
    async def make_join(self, call: Call, room_id: RoomId, user_id: UserId) -> Answer:
        versions = call.query.texts("ver", ["1"], max_items=MAX_VERSIONS)
        return await self._templates.of_join(origin_of(call), room_id, user_id, versions)

    @server_route("GET", f"{V1}/make_leave/{{room_id}}/{{user_id}}")
    async def make_leave(self, call: Call, room_id: RoomId, user_id: UserId) -> Answer:
        return await self._templates.of_leave(origin_of(call), room_id, user_id)

    @server_route("GET", f"{V1}/make_knock/{{room_id}}/{{user_id}}")
    async def make_knock(self, call: Call, room_id: RoomId, user_id: UserId) -> Answer:
        versions = call.query.texts("ver", max_items=MAX_VERSIONS)
        return await self._templates.of_knock(origin_of(call), room_id, user_id, versions)

    @server_route("PUT", f"{V1}/send_join{_PLACE}")
    async def send_join_v1(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        body = await self._handshakes.join(submission(call, room_id, event_id), omit_members=False)
        return await body_reply(self._lists, body, is_v1=True)

    @server_route("PUT", f"{V2}/send_join{_PLACE}")
    async def send_join(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        omit_members = call.query.boolean("omit_members", False)
        body = await self._handshakes.join(submission(call, room_id, event_id), omit_members=omit_members)
        return await body_reply(self._lists, body)

    @server_route("PUT", f"{V1}/send_leave{_PLACE}")
    async def send_leave_v1(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        await self._handshakes.leave(submission(call, room_id, event_id))
        return [200, {}]

    @server_route("PUT", f"{V2}/send_leave{_PLACE}")
    async def send_leave(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        await self._handshakes.leave(submission(call, room_id, event_id))
        return {}

    @server_route("PUT", f"{V1}/send_knock{_PLACE}")
    async def send_knock(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        return {"knock_room_state": await self._handshakes.knock(submission(call, room_id, event_id))}


def submission(call: Call, room_id: RoomId, event_id: EventId) -> Submission:
    """The event that is the request's body."""
    return Submission(
        origin=origin_of(call), room_id=room_id, event_id=event_id, pdu=dict(call.json(max_depth=MAX_BODY_DEPTH).raw)
    )
