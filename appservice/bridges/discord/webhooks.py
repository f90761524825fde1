"""The webhook of each channel: by it everyone from Matrix writes under their own name and face.

One of ours in a channel is made when it is first needed, and remembered with its token. Whoever manages the server may
delete it: then another one is made.
"""

from typing import Any

from attrs import frozen

from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.rest import Rest

Json = dict[str, Any]

NEEDED = "Manage Webhooks"
MAX_NAME = 80
# Discord refuses names that hold these.
_FORBIDDEN = ("discord", "clyde")


@frozen
class Webhook:
    id: str
    token: str


@frozen
class Face:
    """As whom a webhook speaks."""

    name: str
    avatar_url: str | None


class Webhooks:
    """Raises: NetworkError; MissingPermission, where the bot may not make one."""

    def __init__(self, *, bridge: Bridge, rest: Rest, directory: Directory, name: str, cdn: str) -> None:
        self._bridge, self._rest, self._directory = bridge, rest, directory
        self._name, self._cdn = name, cdn
        self._known: dict[str, Webhook] = {}
        self._ids: dict[str, bool] = {}

    async def of(self, channel_id: str) -> Webhook:
        """The channel's, made if there is none."""
        known = self._known.get(channel_id) or await self._remembered(channel_id)
        if known is None:
            known = await self._found(channel_id) or await self._made(channel_id)
            await self._bridge.remember(_key(channel_id), {"id": known.id, "token": known.token})
            await self._bridge.remember(f"webhook-id/{known.id}", {"channel": channel_id})
        self._known[channel_id] = known
        self._ids[known.id] = True
        return known

    async def by_id(self, channel_id: str, webhook_id: str) -> Webhook | None:
        """The one that wrote a message, if it is still ours to use."""
        known = self._known.get(channel_id) or await self._remembered(channel_id)
        return known if known is not None and known.id == webhook_id else None

    async def is_ours(self, webhook_id: str) -> bool:
        if webhook_id not in self._ids:
            self._ids[webhook_id] = await self._bridge.recall(f"webhook-id/{webhook_id}") is not None
        return self._ids[webhook_id]

    def is_known(self, webhook_id: str) -> bool:
        """Ours, as this process knows already."""
        return self._ids.get(webhook_id) is True

    async def forget(self, channel_id: str) -> None:
        """It was deleted."""
        self._known.pop(channel_id, None)
        await self._bridge.remember(_key(channel_id), None)

    async def _remembered(self, channel_id: str) -> Webhook | None:
        data = await self._bridge.recall(_key(channel_id))
        return None if data is None else Webhook(str(data["id"]), str(data["token"]))

    async def _found(self, channel_id: str) -> Webhook | None:
        """One that we made and forgot: a crash came between."""
        hooks = await self._rest.ask("GET", "/channels/{channel_id}/webhooks", channel_id=channel_id, needs=NEEDED)
        for hook in hooks:
            if hook.get("token") and hook.get("name") == self._name:
                return Webhook(str(hook["id"]), str(hook["token"]))
        return None

    async def _made(self, channel_id: str) -> Webhook:
        path, body = "/channels/{channel_id}/webhooks", {"name": self._name}
        reason = "Matrix users write by it"
        hook = await self._rest.ask("POST", path, body, channel_id=channel_id, needs=NEEDED, reason=reason)
        return Webhook(str(hook["id"]), str(hook["token"]))

    def face(self, author: Author) -> Face:
        """Who has linked an account speaks as that account looks on Discord."""
        if author.login is not None:
            user = self._directory.user(author.login.person)
            if user is not None:
                name = str(user.get("global_name") or user.get("username"))
                digest = user.get("avatar")
                url = f"{self._cdn}/avatars/{user['id']}/{digest}.png?size=256" if digest else author.avatar_url
                return Face(allowed_name(name), url)
        return Face(allowed_name(author.name or author.user_id), author.avatar_url)


def allowed_name(name: str) -> str:
    """A name that Discord takes: short, not empty, and without its own."""
    text = " ".join(name.split()) or "Matrix user"
    for word in _FORBIDDEN:
        at = text.lower().find(word)
        while at >= 0:
            # An invisible joint in the word: people read the same.
            text = text[: at + 1] + "\u200b" + text[at + 1 :]
            at = text.lower().find(word)
    return text[:MAX_NAME].strip() or "Matrix user"


def _key(channel_id: str) -> str:
    return f"webhook/{channel_id}"
