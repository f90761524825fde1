"""Tokens: of an app (xapp-), of its bot (xoxb-), of a person by OAuth (xoxp-) or from the person's browser (xoxc-)."""

import secrets
from typing import Any

from attrs import define, field

BOT_SCOPES = frozenset(
    [
        *("chat:write", "chat:write.customize", "chat:write.public", "channels:history", "channels:read"),
        *("channels:join", "channels:manage", "groups:history", "groups:read", "groups:write", "im:history"),
        *("im:read", "im:write", "mpim:history", "mpim:read", "mpim:write", "reactions:read", "reactions:write"),
        *("files:read", "files:write", "pins:read", "pins:write", "users:read", "users.profile:read", "emoji:read"),
        *("team:read", "metadata.message:read"),
    ]
)
USER_SCOPES = frozenset(
    [
        *("chat:write", "channels:history", "channels:read", "channels:write", "groups:history", "groups:read"),
        *("groups:write", "im:history", "im:read", "im:write", "mpim:history", "mpim:read", "mpim:write"),
        *("reactions:read", "reactions:write", "files:read", "files:write", "pins:read", "pins:write", "users:read"),
        *("users.profile:read", "emoji:read", "team:read"),
    ]
)

# The scope without which an event of this type is not told to an app; by the channel's kind where it differs.
EVENT_SCOPES = {
    "message": {"channel": "channels:history", "group": "groups:history", "im": "im:history", "mpim": "mpim:history"},
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "pin_added": "pins:read",
    "pin_removed": "pins:read",
    "member_joined_channel": {"channel": "channels:read", "group": "groups:read", "im": "", "mpim": ""},
    "member_left_channel": {"channel": "channels:read", "group": "groups:read", "im": "", "mpim": ""},
    "channel_rename": "channels:read",
    "channel_archive": "channels:read",
    "channel_unarchive": "channels:read",
    "channel_deleted": "channels:read",
    "channel_created": "channels:read",
    "channel_left": "channels:read",
    "group_rename": "groups:read",
    "group_archive": "groups:read",
    "group_unarchive": "groups:read",
    "group_deleted": "groups:read",
    "group_left": "groups:read",
    "im_created": "im:read",
    "user_change": "users:read",
    "user_profile_changed": "users.profile:read",
    "team_join": "users:read",
    "emoji_changed": "emoji:read",
    "team_rename": "team:read",
    "app_uninstalled": "",
    "tokens_revoked": "",
}


@define(eq=False)
class Token:
    """What a token may do. `bot_id` for a bot's; `cookie` is what a browser's needs beside it."""

    text: str
    kind: str
    user_id: str
    app: "App"
    scopes: set[str] = field(factory=set)
    bot_id: str | None = None
    cookie: str | None = None
    revoked: bool = False


@define(eq=False)
class App:
    """An app as its developer has set it up. `events`: what it subscribes to (the names without message's suffix)."""

    id: str
    name: str
    bot_user_id: str = ""
    bot_id: str = ""
    signing_secret: str = field(factory=lambda: secrets.token_hex(16))
    socket_mode: bool = True
    request_url: str | None = None
    interactivity: bool = True
    interactivity_url: str | None = None
    events: set[str] = field(factory=lambda: set(EVENT_SCOPES))
    tokens: list[Token] = field(factory=list)
    # Interactions of apps that the test plays itself.
    interactions: list[dict[str, Any]] = field(factory=list)

    def new_token(self, kind: str, user_id: str, scopes: set[str] | frozenset[str], **more: Any) -> Token:
        middle = f"1-{self.id}" if kind == "xapp" else secrets.token_hex(5)
        token = Token(f"{kind}-{middle}-{secrets.token_hex(12)}", kind, user_id, self, set(scopes), **more)
        self.tokens.append(token)
        return token
