"""Server-side key backups.

Source: client-server API, "Server-side key backups".
"""

from collections.abc import Mapping
from typing import Any

import orjson

from homeserver.services.e2ee.seams import Json
from matrix.errors import BadRequest, InvalidParam, MatrixError, NotFound, TooLarge
from storage import key_backups
from storage.database import Database
from storage.key_backups import Backup, RoomKey

MAX_NAME_BYTES = 255
# Of a version's algorithm-dependent data: a public key and signatures.
MAX_AUTH_DATA_BYTES = 65536
# Of one session's key: real ones have below 1,000 bytes.
MAX_KEY_BYTES = 65536
MAX_INTEGER = 2**53 - 1
# No more digits than an int column holds.
_MAX_VERSION = 2**31 - 1


class Backups:
    """Versions are numbers, told as texts. Writing goes to the current version only."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(self, user_id: str, algorithm: str, auth_data: Mapping[str, Any]) -> str:
        """Makes a new version, the current one from now on."""
        text = _bounded(auth_data, MAX_AUTH_DATA_BYTES, "auth_data")
        return str(await self._database.run(key_backups.add_backup, user_id, algorithm, text))

    async def info(self, user_id: str, version: str | None = None) -> Json:
        """A version, by default the current one. Raises: NotFound."""
        if version is None:
            backup = await self._database.read(key_backups.find_current_backup, user_id)
            if backup is None:
                raise NotFound("No current backup version")
        else:
            backup = await self._get(user_id, version)
        return {
            "version": str(backup.version),
            "algorithm": backup.algorithm,
            "auth_data": orjson.Fragment(backup.auth_data),
            **_state(backup),
        }

    async def update(self, user_id: str, version: str, algorithm: str, auth_data: Mapping[str, Any]) -> None:
        """Replaces a version's auth_data. Raises: NotFound, InvalidParam if the algorithm is another."""
        text = _bounded(auth_data, MAX_AUTH_DATA_BYTES, "auth_data")
        backup = await self._get(user_id, version)
        if backup.algorithm != algorithm:
            raise InvalidParam("Algorithm does not match")
        await self._database.run(key_backups.update_auth_data, user_id, backup.version, text)

    async def delete(self, user_id: str, version: str) -> None:
        """Deletes a version with its keys; deleting it again is no fault. Raises: NotFound."""
        number = _number(version)
        if number is None or not await self._database.run(key_backups.delete_backup, user_id, number):
            raise _unknown_version()

    async def delete_all(self, user_id: str) -> None:
        """All versions and keys of a user whose account is closed. May be repeated."""
        await self._database.run(key_backups.delete_all_backups, user_id)

    async def put_keys(self, user_id: str, version: str, keys: list[RoomKey]) -> Json:
        """Stores keys, each where there is none yet or a worse one; gives count and etag.

        Raises: NotFound, MatrixError 403 M_WRONG_ROOM_KEYS_VERSION if another version is the current one.
        """
        number = _number(version)
        if number is None:
            raise _unknown_version()
        current, is_current = await self._database.run(key_backups.put_keys, user_id, number, keys)
        if current is None or not is_current:
            await self._get(user_id, version)
            raise _wrong_version(current)
        return _state(current)

    async def keys(self, user_id: str, version: str, room_id: str | None = None) -> dict[str, Any]:
        """The sessions of all rooms, or of one, by room, as ready JSON (`orjson.Fragment`).

        Raises: NotFound for the version.
        """
        backup = await self._get(user_id, version)
        rooms = await self._database.read(key_backups.find_sessions, user_id, backup.version, room_id)
        return {room: orjson.Fragment(sessions) for room, sessions in rooms.items()}

    async def key(self, user_id: str, version: str, room_id: str, session_id: str) -> bytes:
        """One key as JSON. Raises: NotFound."""
        backup = await self._get(user_id, version)
        text = await self._database.read(key_backups.find_key, user_id, backup.version, room_id, session_id)
        if text is None:
            raise NotFound("Key not found.")
        return text.encode()

    async def delete_keys(
        self, user_id: str, version: str, room_id: str | None = None, session_id: str | None = None
    ) -> Json:
        """Deletes all keys, those of a room, or one; gives count and etag. Raises: NotFound for the version."""
        number = _number(version)
        if number is None:
            raise _unknown_version()
        backup = await self._database.run(key_backups.delete_keys, user_id, number, room_id, session_id)
        if backup is None:
            raise _unknown_version()
        return _state(backup)

    async def _get(self, user_id: str, version: str) -> Backup:
        number = _number(version)
        backup = None if number is None else await self._database.read(key_backups.find_backup, user_id, number)
        if backup is None or backup.deleted:
            raise _unknown_version()
        return backup


def read_rooms(rooms: Any) -> list[RoomKey]:
    """The keys of `{room_id: {"sessions": ...}}`. Raises: BadRequest, InvalidParam, TooLarge."""
    if not isinstance(rooms, dict):
        raise BadRequest("rooms must be an object")
    keys = []
    for room_id, room in rooms.items():
        if not isinstance(room, dict) or "sessions" not in room:
            raise BadRequest("Each room must have its sessions")
        keys += read_sessions(room_id, room["sessions"])
    return keys


def read_sessions(room_id: str, sessions: Any) -> list[RoomKey]:
    """The keys of `{session_id: KeyBackupData}`. Raises: BadRequest, InvalidParam, TooLarge."""
    if not isinstance(sessions, dict):
        raise BadRequest("sessions must be an object")
    return [read_room_key(room_id, session_id, key) for session_id, key in sessions.items()]


def read_room_key(room_id: str, session_id: str, raw: Any) -> RoomKey:
    """A KeyBackupData. Raises: BadRequest, InvalidParam, TooLarge."""
    for name in (room_id, session_id):
        if not name or "\x00" in name or len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidParam("Not the id of a room or of a session")
    if not isinstance(raw, dict):
        raise BadRequest("A key must be an object")
    verified, data = raw.get("is_verified"), raw.get("session_data")
    if not isinstance(verified, bool):
        raise InvalidParam(f"is_verified must be a boolean in the key of session {session_id[:80]}")
    # An object by the specification; Synapse takes text as well, which is what its callers may have stored there.
    if not isinstance(data, dict | str):
        raise BadRequest(f"session_data must be an object in the key of session {session_id[:80]}")
    return RoomKey(
        room_id,
        session_id,
        verified,
        _count(raw, "first_message_index"),
        _count(raw, "forwarded_count"),
        _bounded(raw, MAX_KEY_BYTES, "A key"),
    )


def _count(raw: Json, name: str) -> int:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise BadRequest(f"{name} must be an integer that is not negative")
    return value


def _bounded(value: Mapping[str, Any], max_bytes: int, name: str) -> str:
    text = orjson.dumps(value)
    if len(text) > max_bytes:
        raise TooLarge(f"{name} can have no more than {max_bytes} bytes")
    return text.decode()


def _number(version: str) -> int | None:
    """The version as a number; None for what is none of ours."""
    if not (version.isascii() and version.isdigit() and len(version) <= 10) or str(int(version)) != version:
        return None
    return int(version) if int(version) <= _MAX_VERSION else None


def _state(backup: Backup) -> Json:
    return {"etag": str(backup.etag), "count": backup.count}


def _unknown_version() -> NotFound:
    return NotFound("Unknown backup version")


def _wrong_version(current: Backup | None) -> MatrixError:
    """Not Synapse's `current_version`, which is the one that was asked for."""
    version = {} if current is None else {"current_version": str(current.version)}
    return MatrixError(403, "M_WRONG_ROOM_KEYS_VERSION", "Wrong backup version.", **version)
