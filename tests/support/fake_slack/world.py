"""What is in a workspace of Slack: people, conversations, messages, files, emoji. Data only; acts.py changes it."""

import itertools
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field

from tests.support.fake_slack.errors import SlackError

Json = dict[str, Any]

# What conversations.* calls a channel's kind, and the prefix of its id.
PREFIXES = {"channel": "C", "group": "C", "im": "D", "mpim": "C"}


@define(eq=False)
class Channel:
    """A conversation. `messages` are by ts, as Slack would give them, replies among them."""

    id: str
    name: str
    kind: str
    creator: str
    created: int
    members: list[str] = field(factory=list)
    topic: Json = field(factory=lambda: {"value": "", "creator": "", "last_set": 0})
    purpose: Json = field(factory=lambda: {"value": "", "creator": "", "last_set": 0})
    is_archived: bool = False
    messages: dict[str, Json] = field(factory=dict)
    pins: list[str] = field(factory=list)
    last_read: dict[str, str] = field(factory=dict)
    is_open: set[str] = field(factory=set)

    @property
    def is_direct(self) -> bool:
        return self.kind in ("im", "mpim")

    def json(self, viewer: str) -> Json:
        """The conversation object, as one of the users sees it."""
        common = {"id": self.id, "created": self.created, "is_archived": self.is_archived, "is_org_shared": False}
        if self.kind == "im":
            other = next((member for member in self.members if member != viewer), viewer)
            return {**common, "is_im": True, "user": other, "is_open": viewer in self.is_open, "is_user_deleted": False}
        return {
            **common,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": self.kind == "channel",
            "is_group": self.kind == "group",
            "is_im": False,
            "is_mpim": self.kind == "mpim",
            "is_private": self.kind != "channel",
            "is_general": self.name == "general",
            "is_shared": False,
            "is_ext_shared": False,
            "creator": self.creator,
            "is_member": viewer in self.members,
            "topic": self.topic,
            "purpose": self.purpose,
            "previous_names": [],
            "num_members": len(self.members),
        }

    def sorted_messages(self) -> list[Json]:
        """Oldest first."""
        return [self.messages[ts] for ts in sorted(self.messages, key=float)]


class World:
    """One workspace. Whoever wants to hear what happens in it adds itself to `listeners`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.team: Json = {"id": "T0HEARTH", "name": "Hearth Works", "domain": "hearthworks"}
        self.users: dict[str, Json] = {}
        self.presence: dict[str, str] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, Json] = {}
        self.contents: dict[str, bytes] = {}
        self.emoji: dict[str, str] = {}
        self.listeners: list[Callable[[Json, Channel | None], None]] = []
        self._ids = itertools.count(1)
        self._last_ts = 0

    def emit(self, event: Json, channel: Channel | None = None) -> None:
        """Tells everybody; the channel decides who may hear it."""
        for listener in list(self.listeners):
            listener(event, channel)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}0{next(self._ids):08X}"

    def first_id(self, number: int) -> None:
        """Ids go on from there."""
        self._ids = itertools.count(number)

    def new_ts(self) -> str:
        """A timestamp that is nobody else's: it is the id of a message within its channel."""
        self._last_ts = max(self._last_ts + 1, int(time.time() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def add_user(self, name: str, *, is_bot: bool = False, real_name: str | None = None, **more: Any) -> Json:
        user_id = self.new_id("U")
        picture = f"{self.base_url}/avatars/{user_id}.png"
        profile = {
            "real_name": real_name or name.title(),
            "display_name": name,
            "display_name_normalized": name,
            "status_text": "",
            "status_emoji": "",
            "image_72": picture,
            "image_192": picture,
            "image_512": picture,
            "image_original": picture,
            "is_custom_image": True,
            "avatar_hash": "a" * 12,
            "team": self.team["id"],
        }
        user = {
            "id": user_id,
            "team_id": self.team["id"],
            "name": name,
            "deleted": False,
            "real_name": real_name or name.title(),
            "tz": "Europe/Lisbon",
            "profile": profile,
            "is_admin": False,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": False,
            "is_ultra_restricted": False,
            "is_bot": is_bot,
            "is_app_user": False,
            "updated": int(time.time()),
            **more,
        }
        if not is_bot:
            profile["email"] = f"{name}@hearthworks.test"
        self.users[user_id] = user
        self.presence[user_id] = "away"
        return user

    def user(self, user_id: str) -> Json:
        try:
            return self.users[user_id]
        except KeyError:
            raise SlackError("user_not_found") from None

    def channel(self, channel_id: str, viewer: str | None = None) -> Channel:
        """A channel that exists and that the viewer can see."""
        channel = self.channels.get(channel_id)
        if channel is None or (viewer and channel.kind != "channel" and viewer not in channel.members):
            raise SlackError("channel_not_found")
        return channel

    def message(self, channel: Channel, ts: str, error: str = "message_not_found") -> Json:
        message = channel.messages.get(ts)
        if message is None or message.get("subtype") == "tombstone":
            raise SlackError(error)
        return message
