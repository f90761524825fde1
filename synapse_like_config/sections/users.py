"""Profiles, the user directory, and notices of the server to users."""

from attrs import frozen

from matrix.ids import is_new_localpart
from synapse_like_config.reading import option, section
from synapse_like_config.units import BadValue, Bytes


@frozen
class UserDirectory:
    """Looking for users by name."""

    enabled: bool = option(True, "Whether users may look for others.")
    search_all_users: bool = option(
        False, "Whether they find all of this server, not only those with whom they share rooms."
    )
    prefer_local_users: bool = option(False, "Whether users of this server come first.")
    exclude_remote_users: bool = option(False, "Whether users of other servers are left out.")
    show_locked_users: bool = option(False, "Whether locked users are found.")


@frozen
class ServerNotices:
    """Messages of the server itself to its users, in a room of their own."""

    system_mxid_localpart: str | None = option(None, "The user name of the sender. Null: there are no notices.")
    system_mxid_display_name: str | None = option(None, "The sender's display name.")
    system_mxid_avatar_url: str | None = option(None, "The sender's avatar: an mxc:// URL.")
    room_name: str = option("Server Notices", "The name of the room.")
    room_avatar_url: str | None = option(None, "The avatar of the room: an mxc:// URL.")
    room_topic: str | None = option(None, "The topic of the room.")
    auto_join: bool = option(False, "Whether users join the room without being asked.")

    def check(self) -> None:
        if self.system_mxid_localpart is not None and not is_new_localpart(self.system_mxid_localpart):
            raise BadValue("is no user name", key="system_mxid_localpart")


@frozen
class Users:
    """Profiles and the user directory."""

    enable_set_displayname: bool = option(True, "Whether users may change their display names.")
    enable_set_avatar_url: bool = option(True, "Whether users may change their avatars.")
    max_avatar_size: Bytes | None = option(None, "The largest avatar. Null: any.")
    allowed_avatar_mimetypes: tuple[str, ...] | None = option(None, "The MIME types of avatars. Null: any.")
    allow_per_room_profiles: bool = option(True, "Whether users may have other names in single rooms.")
    require_auth_for_profile_requests: bool = option(False, "Whether one must be signed in to see profiles.")
    limit_profile_requests_to_users_who_share_rooms: bool = option(
        False, "Whether one must share a room with a user to see the profile."
    )
    include_profile_data_on_invite: bool = option(True, "Whether invitations name the display name of the invited.")
    user_directory: UserDirectory = section(UserDirectory, "Looking for users by name.")
    server_notices: ServerNotices = section(ServerNotices, "Messages of the server itself.")
