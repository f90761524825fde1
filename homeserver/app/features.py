"""What stands beside rooms and accounts, wired: the user directory, OpenID."""

from collections.abc import Sequence

from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits
from homeserver.app.users import Users
from homeserver.client_api.federation_whitelist import FederationWhitelistApi
from homeserver.client_api.mutual_rooms import MutualRoomsApi
from homeserver.client_api.openid import OpenIdApi
from homeserver.client_api.user_directory import UserDirectoryApi
from homeserver.services.rooms.mutual_rooms import MutualRooms
from homeserver.services.users.directory import ASKED_EVERY_S, EVERY_S, DirectorySettings, UserDirectory
from homeserver.services.users.openid import OpenId

HOUR_S = 3600.0


def feature_apis(core: Core, users: Users, rooms: Rooms) -> Sequence[object]:
    openid = OpenId(database=core.storage.database, clock=core.clock, server_name=core.server_name)
    core.tasks.repeat("trim.openid_tokens", HOUR_S, openid.trim)
    return [
        OpenIdApi(openid=openid),
        UserDirectoryApi(directory=_user_directory(core, users, rooms)),
        *_whitelist(core),
        MutualRoomsApi(mutual_rooms=MutualRooms(heads=rooms.heads, members=rooms.members)),
    ]


def _whitelist(core: Core) -> Sequence[object]:
    options = core.config.federation
    if not options.federation_whitelist_endpoint_enabled:
        return []
    return [FederationWhitelistApi(allowed=options.federation_domain_whitelist)]


def _user_directory(core: Core, users: Users, rooms: Rooms) -> UserDirectory:
    options = core.config.users.user_directory
    directory = UserDirectory(
        database=core.storage.database,
        stream=core.storage.stream,
        clock=core.clock,
        rooms_of=rooms.members.joined_rooms,
        profile_of=users.profiles.get,
        settings=DirectorySettings(
            enabled=options.enabled,
            search_all_users=options.search_all_users,
            prefer_local_users=options.prefer_local_users,
            exclude_remote_users=options.exclude_remote_users,
            show_locked_users=options.show_locked_users,
        ),
        limit=Limits(core.clock).make(core.config.ratelimits.rc_user_directory),
    )
    core.tasks.repeat("user_directory.catch_up", EVERY_S, directory.catch_up)
    core.tasks.repeat("user_directory.ask", ASKED_EVERY_S, directory.ask_servers)
    return directory
