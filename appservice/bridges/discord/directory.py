"""What is known of guilds: channels, threads, roles, emoji, the bot's place. Told by the gateway, kept in memory.

The library keeps such things too, but only while its client lives, and it ends with the first payload that it does not
expect. Everything is JSON as Discord shows it. What is not known (yet) is asked for by REST, by whoever needs it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from homeserver.runtime.caches import Lru

Json = dict[str, Any]

TEXT, DIRECT, VOICE, CATEGORY, NEWS, STAGE, FORUM, MEDIA = 0, 1, 2, 4, 5, 13, 15, 16
THREADS = frozenset({10, 11, 12})
# Which kinds get a room. Voice channels have a chat of their own.
SHOWN = frozenset({TEXT, NEWS, VOICE, STAGE, FORUM, MEDIA})
# By the level of the server's boosts; also of direct chats.
_FILE_BYTES = {0: 10 << 20, 1: 10 << 20, 2: 50 << 20, 3: 100 << 20}
_MAX_THREADS = 20_000
_MAX_PEOPLE = 20_000


@define
class Guild:
    """`members` are those that were told of; all of them only in small guilds."""

    json: Json
    roles: dict[str, Json] = field(factory=dict)
    emojis: dict[str, Json] = field(factory=dict)
    stickers: dict[str, Json] = field(factory=dict)
    is_available: bool = True

    @property
    def id(self) -> str:
        return str(self.json["id"])

    @property
    def name(self) -> str:
        return str(self.json.get("name") or self.id)


def file_bytes(guild: Guild | None) -> int:
    """How large a file may be there."""
    tier = 0 if guild is None else int(guild.json.get("premium_tier") or 0)
    return _FILE_BYTES.get(tier, _FILE_BYTES[0])


class Directory:
    """`take` learns from every payload of the gateway."""

    def __init__(self) -> None:
        self.me: Json = {}
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, Json] = {}
        self._threads: Lru[str, Json] = Lru("discord_threads", _MAX_THREADS)
        # (guild, user) -> member; user -> user.
        self._members: Lru[tuple[str, str], Json] = Lru("discord_members", _MAX_PEOPLE)
        self._users: Lru[str, Json] = Lru("discord_users", _MAX_PEOPLE)

    # Looking up.

    def channel(self, channel_id: str) -> Json | None:
        return self.channels.get(channel_id) or self._threads.get(channel_id)

    def parent_of(self, channel_id: str) -> str | None:
        """The channel of a thread; the channel itself, if it is none. None, if it is not known."""
        found = self.channel(channel_id)
        if found is None:
            return None
        return str(found["parent_id"]) if found.get("type") in THREADS else channel_id

    def guild_of(self, channel_id: str) -> Guild | None:
        found = self.channel(channel_id)
        return None if found is None else self.guilds.get(str(found.get("guild_id")))

    def channels_of(self, guild_id: str) -> Iterator[Json]:
        return (each for each in self.channels.values() if str(each.get("guild_id")) == guild_id)

    def member(self, guild_id: str, user_id: str) -> Json | None:
        return self._members.get((guild_id, user_id))

    def user(self, user_id: str) -> Json | None:
        return self._users.get(user_id)

    def emoji(self, emoji_id: str) -> Json | None:
        return next((guild.emojis[emoji_id] for guild in self.guilds.values() if emoji_id in guild.emojis), None)

    def role_names(self) -> dict[str, str]:
        return {role_id: str(role["name"]) for guild in self.guilds.values() for role_id, role in guild.roles.items()}

    def is_me(self, user_id: str) -> bool:
        return user_id == str(self.me.get("id"))

    # Learning.

    def take(self, event: str, data: Json) -> None:
        """What the gateway told. Unexpected shapes are left alone: they teach nothing."""
        learn = _LEARN.get(event)
        if learn is not None:
            learn(self, data)

    def put_guild(self, data: Json) -> Guild:
        known = self.guilds.get(str(data["id"]))
        kept = known.json if known is not None else {}
        guild = Guild({**kept, **{key: value for key, value in data.items() if key not in _LARGE}})
        guild.roles = _by_id(data["roles"]) if "roles" in data else (known.roles if known else {})
        guild.emojis = _by_id(data["emojis"]) if "emojis" in data else (known.emojis if known else {})
        guild.stickers = _by_id(data["stickers"]) if "stickers" in data else (known.stickers if known else {})
        self.guilds[guild.id] = guild
        return guild

    def put_channel(self, data: Json) -> Json:
        if data.get("type") in THREADS:
            self._threads.set(str(data["id"]), data)
        else:
            self.channels[str(data["id"])] = data
        return data

    def put_member(self, guild_id: str, data: Json, user: Json | None = None) -> None:
        user = user or data.get("user")
        if user is None:
            return
        self.put_user(user)
        self._members.set((guild_id, str(user["id"])), {**data, "user": user})

    def put_user(self, user: Json) -> None:
        known = self._users.get(str(user["id"]), {})
        self._users.set(str(user["id"]), {**known, **{key: user[key] for key in _OF_USERS if key in user}})

    def _ready(self, data: Json) -> None:
        self.me = data["user"]
        for each in data["guilds"]:
            guild = self.guilds.get(str(each["id"]))
            if guild is not None:
                guild.is_available = False
        gone = set(self.guilds) - {str(each["id"]) for each in data["guilds"]}
        for guild_id in gone:
            self._forget_guild(guild_id)

    def _guild_create(self, data: Json) -> None:
        if data.get("unavailable"):
            return
        guild = self.put_guild(data)
        for channel_id in [str(each["id"]) for each in self.channels_of(guild.id)]:
            del self.channels[channel_id]
        for each in [*data.get("channels", []), *data.get("threads", [])]:
            self.put_channel({**each, "guild_id": guild.id})
        for each in data.get("members", []):
            self.put_member(guild.id, each)

    def _guild_delete(self, data: Json) -> None:
        guild_id = str(data["id"])
        if data.get("unavailable") and guild_id in self.guilds:
            self.guilds[guild_id].is_available = False
        else:
            self._forget_guild(guild_id)

    def _forget_guild(self, guild_id: str) -> None:
        self.guilds.pop(guild_id, None)
        for channel_id in [str(each["id"]) for each in self.channels_of(guild_id)]:
            del self.channels[channel_id]

    def _channel_delete(self, data: Json) -> None:
        self.channels.pop(str(data["id"]), None)

    def _threads_sync(self, data: Json) -> None:
        for each in data["threads"]:
            self.put_channel({**each, "guild_id": data["guild_id"]})

    def _role(self, data: Json) -> None:
        guild = self.guilds.get(str(data["guild_id"]))
        if guild is not None:
            guild.roles[str(data["role"]["id"])] = data["role"]

    def _role_delete(self, data: Json) -> None:
        guild = self.guilds.get(str(data["guild_id"]))
        if guild is not None:
            guild.roles.pop(str(data["role_id"]), None)

    def _member(self, data: Json) -> None:
        self.put_member(str(data["guild_id"]), {key: value for key, value in data.items() if key != "guild_id"})

    def _member_remove(self, data: Json) -> None:
        self._members.invalidate((str(data["guild_id"]), str(data["user"]["id"])))

    def _emojis(self, data: Json) -> None:
        guild = self.guilds.get(str(data["guild_id"]))
        if guild is not None:
            guild.emojis = _by_id(data["emojis"])

    def _stickers(self, data: Json) -> None:
        guild = self.guilds.get(str(data["guild_id"]))
        if guild is not None:
            guild.stickers = _by_id(data["stickers"])

    def _message(self, data: Json) -> None:
        if "guild_id" in data and "member" in data and "webhook_id" not in data:
            self.put_member(str(data["guild_id"]), data["member"], data["author"])

    def _me(self, data: Json) -> None:
        self.me = {**self.me, **data}


_LARGE = {"channels", "threads", "members", "presences", "voice_states", "roles", "emojis", "stickers"}
_OF_USERS = ("id", "username", "global_name", "discriminator", "avatar", "bot", "system")
_LEARN: Mapping[str, Callable[[Directory, Json], None]] = {
    "READY": Directory._ready,
    "GUILD_CREATE": Directory._guild_create,
    "GUILD_UPDATE": lambda self, data: _ignore(self.put_guild(data)),
    "GUILD_DELETE": Directory._guild_delete,
    "CHANNEL_CREATE": lambda self, data: _ignore(self.put_channel(data)),
    "CHANNEL_UPDATE": lambda self, data: _ignore(self.put_channel(data)),
    "CHANNEL_DELETE": Directory._channel_delete,
    "THREAD_CREATE": lambda self, data: _ignore(self.put_channel(data)),
    "THREAD_UPDATE": lambda self, data: _ignore(self.put_channel(data)),
    "THREAD_LIST_SYNC": Directory._threads_sync,
    "GUILD_ROLE_CREATE": Directory._role,
    "GUILD_ROLE_UPDATE": Directory._role,
    "GUILD_ROLE_DELETE": Directory._role_delete,
    "GUILD_MEMBER_ADD": Directory._member,
    "GUILD_MEMBER_UPDATE": Directory._member,
    "GUILD_MEMBER_REMOVE": Directory._member_remove,
    "GUILD_EMOJIS_UPDATE": Directory._emojis,
    "GUILD_STICKERS_UPDATE": Directory._stickers,
    "MESSAGE_CREATE": Directory._message,
    "USER_UPDATE": Directory._me,
}


def _by_id(items: list[Json]) -> dict[str, Json]:
    return {str(each["id"]): each for each in items}


def _ignore(_: object) -> None:
    """A table's functions give nothing."""
