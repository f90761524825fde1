"""Linking an account: who writes `link` to the bot on Discord is given a code, and gives that in Matrix.

Bots cannot act as people, and Discord forbids programs that do; so nobody signs in here with a password or token. What
a link gives: one's messages on Discord are shown as one's own Matrix user's, and what one writes in Matrix has one's
name and face of Discord.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from appservice.bridges.core.errors import NetworkError, Refused, Temporary
from appservice.bridges.core.ids import LoginId, PersonId
from appservice.bridges.core.incoming import RemoteEvent
from appservice.bridges.core.network import Bridge, LoginField, LoginFlow
from appservice.bridges.core.outgoing import Login
from appservice.bridges.discord.directs import HELP
from appservice.bridges.discord.sending import Sending
from matrix.ids import UserId

Json = dict[str, Any]

VALID_MS = 15 * 60 * 1000
# Of eight letters without those that look alike: 10^12 codes.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 8
FLOW = "link"


class Linking:
    """`now_ms` is the clock."""

    def __init__(
        self, *, bridge: Bridge, sending: Sending, now_ms: Callable[[], int], bot_name: Callable[[], str]
    ) -> None:
        self._bridge, self._sending = bridge, sending
        self._now_ms, self._bot_name = now_ms, bot_name

    def flows(self) -> Sequence[LoginFlow]:
        name = self._bot_name()
        return [
            LoginFlow(
                id=FLOW,
                name="Link an account",
                instructions=f"On Discord, write `link` in a direct message to **{name}**. It answers with a code.",
                fields=(LoginField(id="code", label="The code", is_secret=True, pattern="[A-Za-z0-9]{8}"),),
            )
        ]

    async def log_in(self, user_id: UserId, values: Json) -> Login:
        """Raises: Refused, if the code is wrong or too old."""
        key = _key(str(values.get("code", "")).strip().upper())
        found = await self._bridge.recall(key)
        if found is None or found["until_ms"] < self._now_ms():
            raise Refused("this code is wrong, or too old: write `link` to the bot once more")
        await self._bridge.remember(key, None)
        person = str(found["person"])
        return Login(
            id=LoginId(person), user_id=user_id, person=PersonId(person), name=str(found["name"]), credentials={}
        )

    async def heard(self, data: Json) -> Sequence[RemoteEvent]:
        """A direct message to the bot that belongs to no conversation."""
        author = data["author"]
        if author.get("bot") or data.get("webhook_id"):
            return ()
        text = str(data.get("content") or "").strip().lower()
        answer = await self._code(author) if text in ("link", "!link", "/link") else HELP
        try:
            await self._sending.say(str(data["channel_id"]), answer, key=f"answer/{data['id']}")
        except Temporary:
            raise
        except NetworkError:
            return ()
        return ()

    async def _code(self, author: Json) -> str:
        code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        name = str(author.get("global_name") or author.get("username"))
        found = {"person": str(author["id"]), "name": name, "until_ms": self._now_ms() + VALID_MS}
        await self._bridge.remember(_key(code), found)
        return (
            f"Your code is `{code}`, for a quarter of an hour. In Matrix, say `login {FLOW}` to the bridge's bot, and"
            " give it this code. Whoever gives it is taken for you: tell it to nobody."
        )


def _key(code: str) -> str:
    """Hashed: the code is not to be read in the database."""
    return "link/" + hashlib.sha256(code.encode()).hexdigest()
