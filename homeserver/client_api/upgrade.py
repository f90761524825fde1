"""Room upgrades.

Source: client-server API, "Room Upgrades".
"""

from homeserver.client_api.create_room import parse_creators, parse_version
from homeserver.services.rooms.following import Following
from homeserver.services.rooms.upgrade import Upgrade
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.ids import RoomId


class UpgradeApi:
    def __init__(self, *, upgrade: Upgrade, following: Following) -> None:
        self._upgrade = upgrade
        self._following = following

    @route("POST", *client("/rooms/{room_id}/upgrade"))
    async def upgrade(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        version = parse_version(body.text("new_version"))
        creators = parse_creators(body) if version.creators_have_infinite_power else []
        replacement = await self._upgrade.upgrade(call.user, room_id, version, creators)
        await self._following.joined(call.user.user_id, replacement)
        return {"replacement_room": replacement}
