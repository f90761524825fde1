"""Server-side key backups.

Source: client-server API, "Server-side key backups".
"""

from typing import Any

from homeserver.services.e2ee.backups import Backups, read_room_key, read_rooms, read_sessions
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import client, route
from matrix.errors import InvalidParam

# Clients upload 100 or 200 keys at a time, each below 1 kB; an import may bring thousands at once.
MAX_BODY_BYTES = 8 * 1024 * 1024


def _paths(path: str) -> tuple[str, ...]:
    """Synapse serves them as unstable too, and some clients ask there."""
    return (*client(f"/room_keys{path}"), f"/_matrix/client/unstable/room_keys{path}")


_KEYS, _ROOM, _SESSION = _paths("/keys"), _paths("/keys/{room_id}"), _paths("/keys/{room_id}/{session_id}")


class KeyBackupsApi:
    """Room ids are not checked: what a backup is filed under is the client's affair."""

    def __init__(self, *, backups: Backups) -> None:
        self._backups = backups

    @route("POST", *_paths("/version"))
    async def post_version(self, call: Call) -> Answer:
        body = call.json()
        algorithm, auth_data = body.text("algorithm", max_bytes=255), body.object("auth_data")
        return {"version": await self._backups.create(call.user.user_id, algorithm, auth_data.raw)}

    @route("GET", *_paths("/version"))
    async def get_current_version(self, call: Call) -> Answer:
        return await self._backups.info(call.user.user_id)

    @route("GET", *_paths("/version/{version}"))
    async def get_version(self, call: Call, version: str) -> Answer:
        return await self._backups.info(call.user.user_id, version)

    @route("PUT", *_paths("/version/{version}"))
    async def put_version(self, call: Call, version: str) -> Answer:
        body = call.json()
        if body.text("version", version) != version:
            raise InvalidParam("The version in the body is not the one in the path")
        algorithm, auth_data = body.text("algorithm"), body.object("auth_data")
        await self._backups.update(call.user.user_id, version, algorithm, auth_data.raw)
        return {}

    @route("DELETE", *_paths("/version/{version}"))
    async def delete_version(self, call: Call, version: str) -> Answer:
        await self._backups.delete(call.user.user_id, version)
        return {}

    @route("PUT", *_KEYS, max_body_bytes=MAX_BODY_BYTES)
    async def put_keys(self, call: Call) -> Answer:
        keys = read_rooms(call.json().object("rooms").raw)
        return await self._backups.put_keys(call.user.user_id, _version(call), keys)

    @route("PUT", *_ROOM, max_body_bytes=MAX_BODY_BYTES)
    async def put_keys_of_room(self, call: Call, room_id: str) -> Answer:
        keys = read_sessions(room_id, call.json().object("sessions").raw)
        return await self._backups.put_keys(call.user.user_id, _version(call), keys)

    @route("PUT", *_SESSION)
    async def put_key(self, call: Call, room_id: str, session_id: str) -> Answer:
        key = read_room_key(room_id, session_id, call.json().raw)
        return await self._backups.put_keys(call.user.user_id, _version(call), [key])

    @route("GET", *_KEYS)
    async def get_keys(self, call: Call) -> Answer:
        rooms = await self._backups.keys(call.user.user_id, _version(call))
        return {"rooms": {room_id: {"sessions": sessions} for room_id, sessions in rooms.items()}}

    @route("GET", *_ROOM)
    async def get_keys_of_room(self, call: Call, room_id: str) -> Answer:
        rooms = await self._backups.keys(call.user.user_id, _version(call), room_id)
        none: dict[str, Any] = {}
        return {"sessions": rooms.get(room_id, none)}

    @route("GET", *_SESSION)
    async def get_key(self, call: Call, room_id: str, session_id: str) -> Answer:
        return RawJson([await self._backups.key(call.user.user_id, _version(call), room_id, session_id)])

    @route("DELETE", *_KEYS)
    async def delete_keys(self, call: Call) -> Answer:
        return await self._backups.delete_keys(call.user.user_id, _version(call))

    @route("DELETE", *_ROOM)
    async def delete_keys_of_room(self, call: Call, room_id: str) -> Answer:
        return await self._backups.delete_keys(call.user.user_id, _version(call), room_id)

    @route("DELETE", *_SESSION)
    async def delete_key(self, call: Call, room_id: str, session_id: str) -> Answer:
        return await self._backups.delete_keys(call.user.user_id, _version(call), room_id, session_id)


def _version(call: Call) -> str:
    return call.query.text("version")
