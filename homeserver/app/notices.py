"""Notices of the server to its users, wired."""

from collections.abc import Sequence

from homeserver.admin_api.server_notices import Sending, ServerNoticesApi
from homeserver.app.core import Core
from homeserver.app.room_changes import RoomChanges
from homeserver.app.rooms import Rooms
from homeserver.app.settings import notices_sender
from homeserver.app.users import Users
from homeserver.services.rooms.member_content import MemberContents
from homeserver.services.server_notices import NoticeSettings, RoomParts, ServerNotices
from homeserver.services.users.system_users import SystemUsers
from matrix.room_versions import ROOM_VERSIONS


def build_system_users(core: Core, users: Users) -> SystemUsers:
    return SystemUsers(
        database=core.storage.database,
        commit=core.storage.committer,
        accounts=users.accounts,
        registration=users.registration,
        profiles=users.profiles,
    )


async def notice_apis(core: Core, users: Users, rooms: Rooms, changes: RoomChanges) -> Sequence[object]:
    options, sender = core.config.users.server_notices, notices_sender(core.config)
    if sender is None:
        return [ServerNoticesApi(sending=None, accounts=users.accounts, server_name=core.server_name)]
    system_users = build_system_users(core, users)
    profile = (sender, options.system_mxid_display_name, options.system_mxid_avatar_url)
    await system_users.ensure_if_any(*profile)
    notices = ServerNotices(
        settings=NoticeSettings(
            sender=sender,
            room_name=options.room_name,
            room_topic=options.room_topic,
            room_avatar_url=options.room_avatar_url,
            auto_join=options.auto_join,
            room_version=ROOM_VERSIONS[core.config.server.default_room_version],
        ),
        parts=RoomParts(
            rooms=changes.notice_rooms,
            intake=rooms.intake,
            heads=rooms.heads,
            contents=MemberContents(profiles_of=users.profiles.of_local_users),
            membership=changes.membership,
        ),
        account_data=users.account_data,
    )
    sending = Sending(notices=notices, ensure_sender=lambda: system_users.ensure(*profile))
    return [ServerNoticesApi(sending=sending, accounts=users.accounts, server_name=core.server_name)]
