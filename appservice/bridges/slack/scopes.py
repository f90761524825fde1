"""What the app may do in Slack, and why: the manifest to paste, the page of `init` and the check come from these."""

from typing import Any

# Of the bot. Reasons are shown to people.
BOT_SCOPES = {
    "channels:history": "read messages of public channels that the bot is in",
    "channels:join": "join a public channel when somebody bridges it",
    "channels:manage": "set the topic, invite and remove people where Matrix users do",
    "channels:read": "list public channels, their names, topics and members",
    "chat:write": "post, edit and delete messages",
    "chat:write.customize": "post under the name and face of each Matrix user",
    "emoji:read": "show custom emoji",
    "files:read": "copy files to Matrix",
    "files:write": "copy files from Matrix",
    "groups:history": "read messages of private channels that the bot was invited to",
    "groups:read": "know names, topics and members of those private channels",
    "groups:write": "set their topics, invite and remove people",
    "im:history": "read what people write to the bot",
    "im:read": "know of direct chats with the bot",
    "im:write": "begin a direct chat with somebody",
    "metadata.message:read": "know what was sent before the bridge was stopped, so that nothing comes twice",
    "mpim:history": "read direct chats of several with the bot",
    "mpim:read": "know who is in them",
    "mpim:write": "begin a direct chat with several people",
    "pins:read": "show what is pinned",
    "pins:write": "pin what is pinned in Matrix",
    "reactions:read": "show reactions",
    "reactions:write": "react for Matrix users",
    "team:read": "know the name and the picture of the workspace",
    "users.profile:read": "follow changes of names, faces and statuses",
    "users:read": "know names, faces and presence of people",
}
OPTIONAL_BOT_SCOPES = {
    "users:read.email": "find people by their e-mail address",
    "chat:write.public": "write to a public channel before the bot is in it",
}
# Of the people who sign in: what they do in Matrix, they do themselves in Slack.
USER_SCOPES = {
    "channels:history": "bring public channels that you are in",
    "channels:read": "list the channels that you are in",
    "channels:write": "join, leave, rename and mark channels as read",
    "chat:write": "write as you",
    "emoji:read": "show custom emoji",
    "files:read": "copy files to Matrix",
    "files:write": "share files as you",
    "groups:history": "bring private channels that you are in",
    "groups:read": "list the private channels that you are in",
    "groups:write": "rename, leave and mark them as read",
    "im:history": "bring your direct chats",
    "im:read": "list your direct chats",
    "im:write": "begin direct chats, mark them as read",
    "mpim:history": "bring your direct chats of several",
    "mpim:read": "list them",
    "mpim:write": "begin them, mark them as read",
    "pins:read": "show what is pinned",
    "pins:write": "pin as you",
    "reactions:read": "show reactions",
    "reactions:write": "react as you",
    "team:read": "know the name of the workspace",
    "users:read": "know names and faces of people",
    "users:write": "show you as present or away",
}
# Without these a user's token is of no use.
NEEDED_USER_SCOPES = frozenset(["chat:write", "users:read"])

BOT_EVENTS = (
    *("channel_archive", "channel_created", "channel_deleted", "channel_left", "channel_rename", "channel_unarchive"),
    *("emoji_changed", "group_archive", "group_deleted", "group_left", "group_rename", "group_unarchive"),
    *("member_joined_channel", "member_left_channel", "message.channels", "message.groups", "message.im"),
    *("message.mpim", "pin_added", "pin_removed", "reaction_added", "reaction_removed", "team_join", "team_rename"),
    *("tokens_revoked", "app_uninstalled", "user_change"),
)
USER_EVENTS = (
    *("message.channels", "message.groups", "message.im", "message.mpim", "reaction_added", "reaction_removed"),
    *("pin_added", "pin_removed", "im_created"),
)


def manifest(events_url: str | None, actions_url: str | None) -> dict[str, Any]:
    """The app's manifest; without addresses it uses Socket Mode. Source: docs.slack.dev, "App manifest reference"."""
    events: dict[str, Any] = {"bot_events": list(BOT_EVENTS), "user_events": list(USER_EVENTS)}
    interactivity: dict[str, Any] = {"is_enabled": True}
    if events_url is not None:
        events["request_url"] = events_url
        interactivity["request_url"] = actions_url
    return {
        "display_information": {"name": "Matrix", "description": "Brings channels to Matrix, and Matrix to channels."},
        "features": {
            "app_home": {"messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
            "bot_user": {"display_name": "Matrix", "always_online": True},
        },
        "oauth_config": {"scopes": {"bot": sorted(BOT_SCOPES), "user": sorted(USER_SCOPES)}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": events_url is None,
            "token_rotation_enabled": False,
        },
    }
