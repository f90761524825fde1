"""What the operator says of profiles, wired to where they are written."""

from homeserver.app.core import Core
from homeserver.app.users import Users
from homeserver.services.media.avatars import AvatarRules
from homeserver.services.rooms.member_content import CheckAvatar, MemberContents, MemberRules


def build_avatar_rules(core: Core) -> AvatarRules:
    options = core.config.users
    return AvatarRules(
        database=core.storage.database, max_bytes=options.max_avatar_size, types=options.allowed_avatar_mimetypes
    )


def build_contents(core: Core, users: Users, check_avatar: CheckAvatar) -> MemberContents:
    options = core.config.users
    return MemberContents(
        profiles_of=users.profiles.of_local_users,
        rules=MemberRules(
            check_avatar=check_avatar,
            own_in_rooms=options.allow_per_room_profiles,
            in_invites=options.include_profile_data_on_invite,
        ),
    )
