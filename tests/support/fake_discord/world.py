"""What there is in this Discord: users, guilds, channels, messages. JSON as the API shows it, kept in dicts by id."""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field

from tests.support.fake_discord import errors
from tests.support.fake_discord.errors import Refused
from tests.support.fake_discord.ids import Snowflakes, now
from tests.support.fake_discord.permissions import ALL, EVERYBODY, P, permissions_in

Json = dict[str, Any]

TEXT, DIRECT, VOICE, CATEGORY, NEWS, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 2, 4, 5, 11, 12, 15
THREADS = (10, PUBLIC_THREAD, PRIVATE_THREAD)
DEFAULT_FILE_LIMIT = 10 * 1024 * 1024

# Of an application: which privileged intents its owner has switched on.
PRESENCE, GUILD_MEMBERS, MESSAGE_CONTENT = 1 << 13, 1 << 15, 1 << 19


@define
class Bot:
    """An application with its bot user; `flags` grant the privileged intents."""

    user_id: str
    application_id: str
    token: str
    flags: int = PRESENCE | GUILD_MEMBERS | MESSAGE_CONTENT
    revoked: bool = False


@define
class Guild:
    json: Json
    roles: dict[str, Json] = field(factory=dict)
    members: dict[str, Json] = field(factory=dict)
    emojis: dict[str, Json] = field(factory=dict)
    stickers: dict[str, Json] = field(factory=dict)
    presences: dict[str, Json] = field(factory=dict)
    audit_log: list[Json] = field(factory=list)
    file_limit: int = DEFAULT_FILE_LIMIT

    @property
    def id(self) -> str:
        return str(self.json["id"])


# Of the audit log.
KICKED, BANNED, UNBANNED = 20, 22, 23
Tell = Callable[..., None]


@define(eq=False)
class World:
    """Everything, and who must be told of its changes (`tell`, the gateway's)."""

    ids: Snowflakes = field(factory=Snowflakes)
    tell: Tell = field(default=lambda *args, **more: None)
    users: dict[str, Json] = field(factory=dict)
    bots: dict[str, Bot] = field(factory=dict)
    guilds: dict[str, Guild] = field(factory=dict)
    channels: dict[str, Json] = field(factory=dict)
    messages: dict[str, dict[str, Json]] = field(factory=dict)
    reactions: dict[tuple[str, str], list[str]] = field(factory=dict)
    votes: dict[tuple[str, int], list[str]] = field(factory=dict)
    webhooks: dict[str, Json] = field(factory=dict)
    files: dict[str, tuple[bytes, str]] = field(factory=dict)
    interactions: dict[str, Json] = field(factory=dict)
    closed_to_messages: set[str] = field(factory=set)
    typed: list[tuple[str, str]] = field(factory=list)
    # (guild, user): the reason.
    banned: dict[tuple[str, str], str | None] = field(factory=dict)
    # Of the CDN: addresses that are over, until somebody asks for new ones.
    expired: set[str] = field(factory=set)
    cdn: str = ""

    # Making.

    def add_user(self, name: str, *, bot: bool = False, global_name: str | None = None, avatar: bytes = b"") -> Json:
        user_id = self.ids.next()
        user = {
            "id": user_id,
            "username": name,
            "discriminator": "0",
            "global_name": global_name,
            "avatar": None,
            "bot": bot,
            "public_flags": 0,
        }
        self.users[user_id] = user
        if avatar:
            self.set_avatar(user_id, avatar)
        return user

    def set_avatar(self, user_id: str, png: bytes) -> None:
        digest = f"{hash(png) & 0xFFFFFFFF:08x}" * 4
        self.users[user_id]["avatar"] = digest
        self.files[f"/avatars/{user_id}/{digest}.png"] = (png, "image/png")

    def add_bot(self, name: str, *, flags: int = PRESENCE | GUILD_MEMBERS | MESSAGE_CONTENT) -> Bot:
        user = self.add_user(name, bot=True)
        # Of three parts, as the real ones: the id, a time, a mac.
        bot = Bot(user["id"], user["id"], f"{user['id']}.fake.{self.ids.next()}", flags)
        self.bots[bot.token] = bot
        return bot

    def add_guild(self, name: str, owner_id: str) -> Guild:
        guild_id = self.ids.next()
        json: Json = {
            "id": guild_id,
            "name": name,
            "owner_id": owner_id,
            "icon": None,
            "features": [],
            "premium_tier": 0,
        }
        guild = self.guilds[guild_id] = Guild(json)
        self.add_role(guild_id, "@everyone", int(EVERYBODY), role_id=guild_id)
        self.put_member(guild_id, owner_id)
        return guild

    def add_role(self, guild_id: str, name: str, permissions: int = 0, *, role_id: str | None = None) -> Json:
        guild = self.guild(guild_id)
        role: Json = {
            "id": role_id or self.ids.next(),
            "name": name,
            "permissions": str(permissions),
            "position": len(guild.roles),
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": False,
            "mentionable": True,
            "flags": 0,
        }
        guild.roles[role["id"]] = role
        return role

    def put_member(self, guild_id: str, user_id: str, *, nick: str | None = None, roles: tuple[str, ...] = ()) -> Json:
        member = {
            "user": self.users[user_id],
            "nick": nick,
            "roles": list(roles),
            "joined_at": now(),
            "deaf": False,
            "mute": False,
            "flags": 0,
            "avatar": None,
            "pending": False,
        }
        self.guild(guild_id).members[user_id] = member
        return member

    def add_channel(self, guild_id: str, name: str, kind: int = TEXT, **more: Any) -> Json:
        channel_id = self.ids.next()
        channel = {
            "id": channel_id,
            "type": kind,
            "guild_id": guild_id,
            "name": name,
            "topic": None,
            "position": len(self.channels),
            "parent_id": None,
            "nsfw": False,
            "permission_overwrites": [],
            "last_message_id": None,
            "rate_limit_per_user": 0,
            **({"bitrate": 64000, "user_limit": 0} if kind == VOICE else {}),
            **more,
        }
        self.channels[channel_id] = channel
        self.messages[channel_id] = {}
        return channel

    def put_emoji(self, guild_id: str, name: str, image: bytes, *, animated: bool = False) -> Json:
        emoji_id = self.ids.next()
        emoji = {"id": emoji_id, "name": name, "animated": animated, "roles": [], "available": True}
        emoji.update(require_colons=True, managed=False)
        self.guild(guild_id).emojis[emoji_id] = emoji
        suffix = "gif" if animated else "png"
        self.files[f"/emojis/{emoji_id}.{suffix}"] = (image, f"image/{suffix}")
        data = {"guild_id": guild_id, "emojis": list(self.guild(guild_id).emojis.values())}
        self.tell("GUILD_EMOJIS_UPDATE", data, guild_id=guild_id)
        return emoji

    def put_sticker(self, guild_id: str, name: str, image: bytes) -> Json:
        sticker_id = self.ids.next()
        sticker = {"id": sticker_id, "name": name, "description": "", "tags": "smile", "type": 2, "format_type": 1}
        sticker.update(available=True, guild_id=guild_id)
        self.guild(guild_id).stickers[sticker_id] = sticker
        self.files[f"/stickers/{sticker_id}.png"] = (image, "image/png")
        data = {"guild_id": guild_id, "stickers": list(self.guild(guild_id).stickers.values())}
        self.tell("GUILD_STICKERS_UPDATE", data, guild_id=guild_id)
        return sticker

    # Putting out.

    def put_out(self, guild_id: str, user_id: str, by: str, reason: str | None, *, bans: bool) -> None:
        """Kicks or bans. Discord tells of it in no certain order; here the audit log knows first."""
        guild = self.guilds[guild_id]
        self._log(guild, BANNED if bans else KICKED, user_id, by, reason)
        data = {"guild_id": guild_id, "user": self.users[user_id]}
        if guild.members.pop(user_id, None) is not None:
            self.tell("GUILD_MEMBER_REMOVE", data, guild_id=guild_id)
        if bans:
            self.banned[guild_id, user_id] = reason
            self.tell("GUILD_BAN_ADD", data, guild_id=guild_id)

    def unban(self, guild_id: str, user_id: str, by: str, reason: str | None) -> None:
        self._log(self.guilds[guild_id], UNBANNED, user_id, by, reason)
        del self.banned[guild_id, user_id]
        self.tell("GUILD_BAN_REMOVE", {"guild_id": guild_id, "user": self.users[user_id]}, guild_id=guild_id)

    def _log(self, guild: Guild, action: int, target: str, by: str, reason: str | None) -> None:
        entry = {"id": self.ids.next(), "action_type": action, "target_id": target, "user_id": by}
        guild.audit_log.append(entry if reason is None else {**entry, "reason": reason})

    # Finding; a Refused where there is none.

    def user(self, user_id: str) -> Json:
        return _found(self.users, user_id, errors.UNKNOWN_USER)

    def guild(self, guild_id: str) -> Guild:
        if guild_id not in self.guilds:
            raise Refused(*errors.UNKNOWN_GUILD)
        return self.guilds[guild_id]

    def channel(self, channel_id: str) -> Json:
        return _found(self.channels, channel_id, errors.UNKNOWN_CHANNEL)

    def message(self, channel_id: str, message_id: str) -> Json:
        return _found(self.messages.get(channel_id, {}), message_id, errors.UNKNOWN_MESSAGE)

    def channels_of(self, guild_id: str) -> Iterator[Json]:
        return (each for each in self.channels.values() if each.get("guild_id") == guild_id)

    def direct_channel(self, one: str, other: str) -> Json:
        """The one channel of these two, made when it is first asked for."""
        for channel in self.channels.values():
            if channel["type"] == DIRECT and {each["id"] for each in channel["recipients"]} == {one, other}:
                return channel
        channel_id = self.ids.next()
        recipients = [self.user(one), self.user(other)]
        self.messages[channel_id] = {}
        self.channels[channel_id] = {
            "id": channel_id,
            "type": DIRECT,
            "recipients": recipients,
            "last_message_id": None,
        }
        return self.channels[channel_id]

    # Permissions.

    def permissions(self, user_id: str, channel_id: str) -> int:
        channel = self.channel(channel_id)
        if "guild_id" not in channel:
            return ALL if any(each["id"] == user_id for each in channel["recipients"]) else 0
        guild = self.guild(channel["guild_id"])
        # A thread has the overwrites of its parent.
        judged = self.channel(channel["parent_id"]) if channel["type"] in THREADS else channel
        return permissions_in(guild.json, guild.roles, guild.members.get(user_id), judged)

    def sees(self, user_id: str, channel_id: str) -> bool:
        return channel_id in self.channels and bool(self.permissions(user_id, channel_id) & P.VIEW_CHANNEL)

    def demand(self, user_id: str, channel_id: str, needed: P = P.VIEW_CHANNEL) -> None:
        """Raises: Refused 50001 if the channel is not seen, 50013 if a permission is missing."""
        bits = self.permissions(user_id, channel_id)
        if not bits & P.VIEW_CHANNEL:
            raise Refused(*errors.MISSING_ACCESS)
        if bits & needed != needed:
            raise Refused(*errors.MISSING_PERMISSIONS)

    def demand_in_guild(self, user_id: str, guild_id: str, needed: int = 0) -> None:
        guild = self.guild(guild_id)
        if user_id not in guild.members:
            raise Refused(*errors.MISSING_ACCESS)
        if permissions_in(guild.json, guild.roles, guild.members[user_id], None) & needed != needed:
            raise Refused(*errors.MISSING_PERMISSIONS)

    # Showing.

    def show_guild(self, guild: Guild) -> Json:
        return {
            **guild.json,
            "roles": list(guild.roles.values()),
            "emojis": list(guild.emojis.values()),
            "stickers": list(guild.stickers.values()),
        }

    def show_channel(self, channel: Json, viewer: str) -> Json:
        """In a direct channel nobody is shown himself among the recipients."""
        if channel["type"] != DIRECT:
            return channel
        return {**channel, "recipients": [each for each in channel["recipients"] if each["id"] != viewer]}


def _found(where: dict[str, Json], key: str, otherwise: tuple[int, int, str]) -> Json:
    if key not in where:
        raise Refused(*otherwise)
    return where[key]
