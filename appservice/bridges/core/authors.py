"""For whom a message goes out: by their login, or under their name and face."""

from typing import Any

from attrs import frozen

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.faces import Faces
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.outgoing import Author
from homeserver.runtime.caches import Lru
from matrix.ids import UserId

JsonDict = dict[str, Any]
_CACHED = 20_000
# Networks take between 32 and 80 characters; each cuts further where it must.
_MAX_NAME = 80


class NotRelayed(Refused):
    """The user has no login, and may not be relayed."""

    def __init__(self) -> None:
        super().__init__("you have not signed in, and messages are not relayed here")


@frozen
class _Profile:
    name: str
    avatar: str | None


class Authors:
    """Names and faces are those that users have in the room."""

    def __init__(self, *, context: Context, logins: Logins, faces: Faces) -> None:
        self._context, self._logins, self._faces = context, logins, faces
        self._profiles: Lru[tuple[str, str], _Profile] = Lru("bridge_profiles", _CACHED, metrics=context.metrics)

    def saw(self, room_id: str, user_id: str, content: JsonDict) -> None:
        """A membership event told the name and face."""
        if content.get("membership") == "join":
            self._profiles.set((room_id, user_id), _profile(user_id, content))

    async def of(self, user_id: str, room_id: str) -> Author:
        """Without a room: as they are everywhere. Raises: NotRelayed, HomeserverDown."""
        settings = self._context.settings
        level = settings.level_of(user_id)
        login = None if level in ("none", "relay") else self._logins.working(user_id)
        if login is None and (level == "none" or not settings.portals.relay):
            raise NotRelayed()
        profile = await self._profile(room_id, user_id)
        name = settings.portals.relay_name.replace("{}", profile.name)[:_MAX_NAME]
        return Author(user_id=UserId(user_id), name=name, avatar_url=self._faces.url(profile.avatar), login=login)

    async def _profile(self, room_id: str, user_id: str) -> _Profile:
        known = self._profiles.get((room_id, user_id))
        if known is not None:
            return known
        matrix, bot = self._context.matrix, self._context.bot
        try:
            content = await matrix.state(bot, room_id, "m.room.member", user_id) if room_id else None
        except MatrixRefused:
            # A chat into which only a ghost was invited: the bot does not see it yet.
            return _profile(user_id, await matrix.profile(bot, user_id))
        if content is None:
            content = {} if room_id else await matrix.profile(bot, user_id)
        found = _profile(user_id, content)
        self._profiles.set((room_id, user_id), found)
        return found


def _profile(user_id: str, content: JsonDict) -> _Profile:
    name, avatar = content.get("displayname"), content.get("avatar_url")
    return _Profile(
        name if isinstance(name, str) and name.strip() else user_id[1:].partition(":")[0],
        avatar if isinstance(avatar, str) and avatar else None,
    )
