"""The members of a room.

Source: client-server API, GET /rooms/{roomId}/members, GET /rooms/{roomId}/joined_members.
"""

from homeserver.client_api.history_query import token
from homeserver.services.rooms.member_list import MemberList, MemberQuery
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.ids import RoomId

MEMBERSHIPS = ("join", "invite", "knock", "leave", "ban")


class MembersApi:
    def __init__(self, *, member_list: MemberList) -> None:
        self._member_list = member_list

    @route("GET", *client("/rooms/{room_id}/members"), access=Access.GUEST)
    async def get_members(self, call: Call, room_id: RoomId) -> Answer:
        query = MemberQuery(
            at=token(call, "at"),
            membership=_membership(call, "membership"),
            not_membership=_membership(call, "not_membership"),
        )
        events = await self._member_list.events(call.user.user_id, room_id, query)
        return RawJson([b'{"chunk":', *events, b"}"])

    @route("GET", *client("/rooms/{room_id}/joined_members"))
    async def get_joined(self, call: Call, room_id: RoomId) -> Answer:
        return {"joined": await self._member_list.joined(call.user.user_id, room_id)}


def _membership(call: Call, name: str) -> str | None:
    return call.query.choice(name, MEMBERSHIPS) if name in call.query else None
