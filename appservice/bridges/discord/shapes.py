"""Discord's JSON as core's values: people, emoji, files, moments. Pure functions."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from appservice.bridges.core.ids import EmojiId, PersonId
from appservice.bridges.core.incoming import RemoteEmoji, RemoteFile, RemotePerson

Json = dict[str, Any]

EPOCH_MS = 1420070400000
# Hosts from which files are taken; what stands in a message is written by anyone.
_HOSTS = ("cdn.discordapp.com", "media.discordapp.net", "cdn.discord.com")
_PROXIES = ".discordapp.net"
_LOTTIE = 3
_STICKER_SUFFIX = {1: "png", 2: "png", 4: "gif"}


def made_ms(snowflake: str) -> int:
    """When the thing with this id was made."""
    return (int(snowflake) >> 22) + EPOCH_MS


def snowflake_at(ms: int) -> str:
    """The least id of that moment: for asking what came since."""
    return str(max(0, ms - EPOCH_MS) << 22)


def moment_ms(text: str | None) -> int | None:
    """An ISO 8601 time in milliseconds."""
    try:
        return None if not text else int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def person(user: Json, cdn: str, *, nick: str | None = None, is_ours: bool = False) -> RemotePerson:
    """A user of the API."""
    return RemotePerson(
        id=PersonId(str(user["id"])),
        name=str(nick or user.get("global_name") or user.get("username") or user["id"]),
        avatar=_avatar(user, cdn),
        is_bot=bool(user.get("bot")),
        is_ours=is_ours,
    )


def _avatar(user: Json, cdn: str) -> RemoteFile | None:
    digest = user.get("avatar")
    if not isinstance(digest, str) or not digest:
        return None
    url = f"{cdn}/avatars/{user['id']}/{digest}.png?size=256"
    return RemoteFile(id=f"avatar/{user['id']}/{digest}", name="avatar.png", source={"url": url})


def webhook_person(message: Json, cdn: str) -> RemotePerson:
    """Who writes by a webhook: each of its names is somebody of their own."""
    author = message["author"]
    found = person(author, cdn)
    avatar = found.avatar
    name = str(author.get("username") or "webhook")[:80]
    return RemotePerson(id=PersonId(f"{message['webhook_id']}:{name}"), name=name, avatar=avatar, is_bot=True)


def guild_icon(guild: Json, cdn: str) -> RemoteFile | None:
    digest = guild.get("icon")
    if not digest:
        return None
    url = f"{cdn}/icons/{guild['id']}/{digest}.png?size=256"
    return RemoteFile(id=f"icon/{guild['id']}/{digest}", name="icon.png", source={"url": url})


def emoji(data: Json, cdn: str) -> RemoteEmoji:
    """Of a reaction, a message or a guild. Custom ones are known by their id alone: names change."""
    if data.get("id") is None:
        return RemoteEmoji(id=EmojiId(str(data["name"])), unicode=str(data["name"]))
    return custom_emoji(str(data["id"]), str(data.get("name") or "emoji"), bool(data.get("animated")), cdn)


def custom_emoji(emoji_id: str, name: str, is_animated: bool, cdn: str) -> RemoteEmoji:
    suffix = "gif" if is_animated else "png"
    source = {"url": f"{cdn}/emojis/{emoji_id}.{suffix}"}
    image = RemoteFile(id=f"emoji/{emoji_id}", name=f"{name}.{suffix}", mimetype=f"image/{suffix}", source=source)
    return RemoteEmoji(id=EmojiId(emoji_id), name=name, image=image)


def sticker_file(sticker: Json, cdn: str) -> RemoteFile | None:
    """The picture of a sticker; None for those that are drawn by a program (Lottie)."""
    kind = int(sticker.get("format_type") or 1)
    suffix = _STICKER_SUFFIX.get(kind)
    if suffix is None:
        return None
    # Discord serves moving ones from its other host only.
    base = cdn.replace("https://cdn.discordapp.com", "https://media.discordapp.net") if suffix == "gif" else cdn
    source = {"url": f"{base}/stickers/{sticker['id']}.{suffix}"}
    name = f"{sticker['name']}.{suffix}"
    return RemoteFile(id=f"sticker/{sticker['id']}", name=name, mimetype=f"image/{suffix}", source=source)


def sticker(data: Json, cdn: str) -> RemoteEmoji | None:
    image = sticker_file(data, cdn)
    return None if image is None else RemoteEmoji(id=EmojiId(str(data["id"])), name=str(data["name"]), image=image)


def is_from_discord(url: str, cdn: str) -> bool:
    """Whether a file may be taken from there."""
    if url.startswith(cdn + "/"):
        return True
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and parts.port is None and (host in _HOSTS or host.endswith(_PROXIES))
