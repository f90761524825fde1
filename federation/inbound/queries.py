"""Other servers look up our aliases, profiles and spaces, and who has a token of OpenID.

Source: server-server API, "Querying for information", "Spaces", "OpenID".
"""

from typing import Any

from federation.inbound.routes import V1, ServerApi, origin_of, server_route
from homeserver.runtime.clock import Clock
from homeserver.runtime.turns import Turns
from homeserver.services.appservices.users import Appear
from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.for_servers.spaces import SpacesForServers
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.services.users.profiles import AVATAR_URL, DISPLAYNAME, Profiles
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import Forbidden, InvalidParam, MatrixError, NotFound
from matrix.ids import RoomAlias, RoomId, UserId
from storage import openid_tokens
from storage.database import Database


class QueriesForServersApi(ServerApi):
    """`appear` makes users that a service has.

    `shows_profiles`: the configuration's allow_profile_lookup_over_federation.
    """

    def __init__(
        self,
        *,
        turns: Turns,
        aliases: Aliases,
        profiles: Profiles,
        spaces: SpacesForServers,
        is_local: IsLocal,
        appear: Appear,
        shows_profiles: bool,
    ) -> None:
        super().__init__(turns=turns)
        self._aliases = aliases
        self._profiles = profiles
        self._spaces = spaces
        self._is_local = is_local
        self._appear = appear
        self._shows_profiles = shows_profiles

    @server_route("GET", f"{V1}/query/directory")
    async def query_directory(self, call: Call) -> Answer:
        alias = call.query.parsed("room_alias", RoomAlias)
        if not self._is_local(alias.domain):
            raise InvalidParam("Room Alias is not hosted on this homeserver")
        found = await self._aliases.resolve(alias)
        return {"room_id": found.room_id, "servers": list(found.servers)}

    @server_route("GET", f"{V1}/query/profile")
    async def query_profile(self, call: Call) -> Answer:
        if not self._shows_profiles:
            raise Forbidden("Profile lookup over federation is disabled on this homeserver")
        user_id = call.query.parsed("user_id", UserId)
        if not self._is_local(user_id.domain):
            raise InvalidParam("User is not hosted on this homeserver")
        await self._appear([user_id])
        profile, field = await self._profiles.get(user_id), call.query.optional_text("field")
        return dict(profile) if field is None else _field(profile, field)

    @server_route("GET", f"{V1}/query/{{query_type}}")
    async def query(self, call: Call, query_type: str) -> Answer:
        raise NotFound(f"No handler for Query type {query_type[:80]!r}")

    @server_route("GET", f"{V1}/hierarchy/{{room_id}}")
    async def get_hierarchy(self, call: Call, room_id: RoomId) -> Answer:
        suggested_only = call.query.boolean("suggested_only", False)
        return await self._spaces.of(origin_of(call), room_id, suggested_only=suggested_only)


class OpenIdApi:
    """For third services, which sign nothing."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @route("GET", f"{V1}/openid/userinfo", access=Access.PUBLIC)
    async def get_userinfo(self, call: Call) -> Answer:
        token = call.query.optional_text("access_token")
        if not token:
            raise MatrixError(401, "M_MISSING_TOKEN", "Access token required")
        user_id = await self._database.read(openid_tokens.find_user, token, self._clock.now_ms())
        if user_id is None:
            raise MatrixError(401, "M_UNKNOWN_TOKEN", "Access Token unknown or expired")
        return {"sub": user_id}


def _field(profile: dict[str, Any], field: str) -> dict[str, Any]:
    """One field. Every user could have a name and a picture: that one has none is no fault of the question."""
    if field in profile:
        return {field: profile[field]}
    if field in (DISPLAYNAME, AVATAR_URL):
        return {}
    raise NotFound("The user has no such profile field")
