"""Direct messages: a bot has one channel with each person, in which everybody from Matrix must be told apart.

So a conversation of a person with a Matrix user is a channel of its own for core: "<channel>/<user id>". What the bot
writes there begins with the name of who wrote it. What the person writes belongs to the conversation of the message
that it answers, else to the one in which something was said last; and it begins another one with somebody who has
linked an account, if it begins with that one's user id. Nobody is shown what was said with somebody else.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from appservice.bridges.core.ids import ChannelId, MessageId, PersonId
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Login

Json = dict[str, Any]
_ADDRESSED = re.compile(r"\s*(@[^\s:@]{1,200}(?::[^\s@]{1,200})?)")
HELP = (
    "I carry messages to and from Matrix. Nobody is talking to you there at the moment.\n"
    "- To write to somebody there who has linked their Discord account, begin with their name: `@alice:example.org"
    " hello`.\n"
    "- Write `link` to link your own Discord account with your Matrix user."
)


@frozen
class Conversation:
    """`user_id` is the Matrix user."""

    channel_id: str
    user_id: str

    @property
    def id(self) -> ChannelId:
        return ChannelId(f"{self.channel_id}/{self.user_id}")


def conversation_of(channel: str) -> Conversation | None:
    """What a channel id of core's means; None for a channel of a guild."""
    channel_id, slash, user_id = channel.partition("/")
    return Conversation(channel_id, user_id) if slash else None


class Directs:
    """`logins` gives those who have linked an account."""

    def __init__(self, *, bridge: Bridge, logins: Callable[[], Sequence[Login]]) -> None:
        self._bridge = bridge
        self._logins = logins

    async def begin(self, conversation: Conversation, person: str) -> None:
        """Something is said in it now: what is not addressed belongs to it from here."""
        known = await self._known(conversation.channel_id)
        users = [user for user in known["users"] if user != conversation.user_id]
        now = {"person": person, "users": [*users, conversation.user_id], "last": conversation.user_id}
        if now != known:
            await self._bridge.remember(_key(conversation.channel_id), now)

    async def person_of(self, conversation: Conversation) -> str | None:
        """With whom the Matrix user speaks."""
        person = (await self._known(conversation.channel_id)).get("person")
        return None if person is None else str(person)

    async def of_message(self, channel_id: str, message_id: str) -> Conversation | None:
        """Where a message that core knows was said; else where something was said last."""
        known = await self._known(channel_id)
        for user_id in reversed(known["users"]):
            found = Conversation(channel_id, user_id)
            if await self._bridge.find_ref(found.id, MessageId(message_id)) is not None:
                return found
        return self._last(channel_id, known)

    async def of_new(self, channel_id: str, message: Json) -> Conversation | None:
        """To whom the person speaks; None, if to nobody."""
        reference = message.get("message_reference") or {}
        if reference.get("message_id"):
            return await self.of_message(channel_id, str(reference["message_id"]))
        addressed = _ADDRESSED.match(str(message.get("content") or ""))
        known = await self._known(channel_id)
        if addressed is not None:
            user_id = self._user(addressed[1], known["users"])
            if user_id is not None:
                return Conversation(channel_id, user_id)
        return self._last(channel_id, known)

    def _user(self, name: str, users: Sequence[str]) -> str | None:
        """The one of that name: already in conversation, or with an account linked."""
        candidates = dict.fromkeys([*users, *(str(login.user_id) for login in self._logins())])
        if name in candidates:
            return name
        found = [user for user in candidates if user.partition(":")[0] == name]
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _last(channel_id: str, known: Json) -> Conversation | None:
        return Conversation(channel_id, known["last"]) if known.get("last") else None

    async def _known(self, channel_id: str) -> Json:
        return await self._bridge.recall(_key(channel_id)) or {"users": []}

    @staticmethod
    def conversation(channel_id: str, user_id: str) -> Conversation:
        return Conversation(channel_id, user_id)

    def persons_of(self, user_id: str) -> Sequence[PersonId]:
        """The account that the Matrix user has linked."""
        return [login.person for login in self._logins() if login.user_id == user_id]

    async def channels(self) -> Sequence[ChannelId]:
        return [each for each in await self._bridge.bridged_channels() if "/" in each]


def _key(channel_id: str) -> str:
    return f"direct/{channel_id}"
