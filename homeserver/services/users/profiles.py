"""Profiles: display name, avatar and any further fields.

Source: client-server API, "Profiles".
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from homeserver.runtime.caches import Lru
from homeserver.services.users.accounts import Accounts
from homeserver.services.users.settings import ProfileSettings
from homeserver.web.call import Requester
from matrix.errors import BadRequest, Forbidden, InvalidParam, NotFound
from matrix.ids import ServerName, UserId
from storage import profiles as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.profiles import Profile

MAX_PROFILE_BYTES = 65_536
MAX_KEY_BYTES = 255
# As Synapse.
MAX_DISPLAYNAME, MAX_AVATAR_URL = 256, 1000
MAX_CACHED = 50_000

DISPLAYNAME, AVATAR_URL = "displayname", "avatar_url"
# Appendices, "Common Namespaced Identifier Grammar".
_KEY = re.compile(r"[a-z][a-z0-9_.-]*")

# A member event of each room carries the display name and the avatar.
OnProfileChange = Callable[[UserId], Awaitable[None]]
# The profile of another server's user, or one field of it. Raises: MatrixError.
RemoteProfile = Callable[[UserId, str | None], Awaitable[Profile]]
# May the requester (None: nobody in particular) see the profile? Raises: Forbidden.
MaySee = Callable[[Requester | None, UserId], Awaitable[None]]


async def everybody_may_see(requester: Requester | None, user_id: UserId) -> None:
    pass


async def _no_remote_profile(user_id: UserId, field: str | None) -> Profile:
    raise NotFound("Profile was not found")


async def _nobody_hears(user_id: UserId) -> None:
    pass


class Profiles:
    """`hear` reads the stream."""

    def __init__(
        self,
        *,
        db: Database,
        commit: Committer,
        accounts: Accounts,
        settings: ProfileSettings,
        server_name: ServerName,
        on_profile_change: OnProfileChange = _nobody_hears,
        remote: RemoteProfile = _no_remote_profile,
    ) -> None:
        self._db = db
        self._commit = commit
        self._accounts = accounts
        self._settings = settings
        self._server_name = server_name
        self._on_profile_change = on_profile_change
        self._remote = remote
        self._profiles: Lru[str, Profile] = Lru("profiles", MAX_CACHED)

    def hear(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.PROFILE and entry.user_id is not None:
                self._profiles.invalidate(entry.user_id)

    async def get(self, user_id: UserId) -> Profile:
        """What a user of any server has set. Not to be changed. Raises: NotFound."""
        if user_id.domain != self._server_name:
            return await self._remote(user_id, None)
        return await self._get_local(user_id)

    async def get_field(self, user_id: UserId, name: str) -> Any:
        """Raises: NotFound, InvalidParam."""
        check_key(name)
        if user_id.domain != self._server_name:
            profile = await self._remote(user_id, name)
        else:
            profile = await self._get_local(user_id)
        if name not in profile:
            raise NotFound("The user has no such profile field")
        return profile[name]

    async def of_local_users(self, user_ids: Sequence[str]) -> dict[str, Profile]:
        """Profiles by user, empty ones too, in one query at most."""
        found = {user_id: profile for user_id in user_ids if (profile := self._profiles.get(user_id)) is not None}
        missing = [user_id for user_id in user_ids if user_id not in found]
        if missing:
            version = self._profiles.version
            read = await self._db.read(rows.find_profiles, missing)
            for user_id in missing:
                found[user_id] = read.get(user_id, {})
                self._profiles.set_if_unchanged(user_id, found[user_id], version)
        return found

    async def set_field(self, user_id: UserId, name: str, value: Any, *, by_admin: bool = False) -> None:
        """Sets a field; an empty display name or avatar is removed. Raises: BadRequest, Forbidden, NotFound."""
        check_key(name)
        self._check_allowed(name, by_admin)
        _check_value(name, value)
        if name in (DISPLAYNAME, AVATAR_URL) and not value:
            await self.delete_field(user_id, name, by_admin=by_admin)
            return
        if name == AVATAR_URL and self._settings.check_avatar is not None and not by_admin:
            await self._settings.check_avatar(value)
        await self._check_exists(user_id)
        if len(orjson.dumps(value)) > MAX_PROFILE_BYTES:
            raise _too_large()
        change = self._change(user_id, name)
        if not await self._commit(change.run(lambda cur: rows.put_field(cur, user_id, name, value, MAX_PROFILE_BYTES))):
            raise _too_large()
        await self._changed(user_id, name)

    async def delete_field(self, user_id: UserId, name: str, *, by_admin: bool = False) -> None:
        """Removes a field, if it is there. Raises: BadRequest, Forbidden, NotFound."""
        check_key(name)
        self._check_allowed(name, by_admin)
        await self._check_exists(user_id)
        await self._commit(self._change(user_id, name).run(lambda cur: rows.delete_field(cur, user_id, name)))
        await self._changed(user_id, name)

    def disallowed_fields(self) -> list[str]:
        """What users may not change themselves."""
        settings = self._settings
        allowed = {DISPLAYNAME: settings.enable_set_displayname, AVATAR_URL: settings.enable_set_avatar_url}
        return [name for name, may in allowed.items() if not may]

    async def _get_local(self, user_id: UserId) -> Profile:
        profile = (await self.of_local_users([user_id]))[user_id]
        if not profile:
            await self._check_exists(user_id)
        return profile

    async def _check_exists(self, user_id: UserId) -> None:
        user = await self._accounts.find(user_id)
        if user is None or user.is_erased:
            raise NotFound("Profile was not found")

    def _check_allowed(self, name: str, by_admin: bool) -> None:
        if not by_admin and name in self.disallowed_fields():
            raise Forbidden(f"Changing {name} is disabled on this server")

    @staticmethod
    def _change(user_id: UserId, name: str) -> Change:
        change = Change()
        change.announce(Entry(Kind.PROFILE, user_id=user_id, body={"fields": [name]}))
        return change

    async def _changed(self, user_id: UserId, name: str) -> None:
        self._profiles.invalidate(user_id)
        if name in (DISPLAYNAME, AVATAR_URL):
            await self._on_profile_change(user_id)


def check_key(name: str) -> None:
    """Raises: BadRequest for what cannot be a profile field."""
    if len(name.encode()) > MAX_KEY_BYTES:
        raise BadRequest(f"The key is longer than {MAX_KEY_BYTES} bytes", "M_KEY_TOO_LARGE")
    if not _KEY.fullmatch(name):
        raise InvalidParam("Invalid profile key")


def _check_value(name: str, value: Any) -> None:
    limit = {DISPLAYNAME: MAX_DISPLAYNAME, AVATAR_URL: MAX_AVATAR_URL}.get(name)
    if limit is None:
        if name == "m.tz" and not isinstance(value, str):
            raise InvalidParam("m.tz must be a string")
        return
    if not isinstance(value, str) or "\x00" in value:
        raise InvalidParam(f"{name} must be a string")
    if len(value) > limit:
        raise InvalidParam(f"{name} is too long (at most {limit} characters)")
    if name == AVATAR_URL and value and not value.startswith("mxc://"):
        raise InvalidParam("avatar_url must be an MXC URI")


def _too_large() -> BadRequest:
    return BadRequest(f"The profile would be larger than {MAX_PROFILE_BYTES} bytes", "M_PROFILE_TOO_LARGE")
