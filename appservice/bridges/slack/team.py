"""A workspace of Slack, as the bridge knows it: its bot, people and emoji, and by which token a channel is reached."""

import logging
from collections import OrderedDict
from typing import Any

from appservice.bridges.core.errors import ChannelGone, LoginLost, NotThere, Refused, Temporary
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.incoming import RemoteEmoji, RemoteFile, RemotePerson, Space
from appservice.bridges.core.outgoing import Author, Login
from appservice.bridges.slack.api import Account, ChannelClosed, SlackApi
from appservice.bridges.slack.formatting.emoji import unicode_of
from appservice.bridges.slack.ids import channel_id, custom_emoji_id, local_part, person_id, space_id
from appservice.bridges.slack.scopes import BOT_SCOPES
from appservice.bridges.slack.settings import WorkspaceOptions
from homeserver.runtime.clock import Clock

logger = logging.getLogger(__name__)

JsonDict = dict[str, Any]
MAX_PEOPLE = 20_000
LISTS_S = 600.0
MAX_ALIASES = 10


class Team:
    """`connect` must have succeeded before anything else is asked."""

    def __init__(self, *, options: WorkspaceOptions, api: SlackApi, clock: Clock) -> None:
        self.options = options
        self.api = api
        self.bot = Account(options.bot_token)
        self.id = ""
        self.name = ""
        self.url = ""
        self.bot_user = ""
        self.bot_name = ""
        self.bot_id = ""
        self.app_id = ""
        self.icon: str | None = None
        self.missing_scopes: tuple[str, ...] = ()
        self.is_ready = False
        # Why Slack does not take the token, if so.
        self.lost = ""
        # Channels that the bot is in, and what logins see that the bot does not.
        self.bot_channels: set[str] = set()
        self.logins: dict[str, Login] = {}
        self._seen_by: OrderedDict[str, str] = OrderedDict()
        self._people: OrderedDict[str, JsonDict] = OrderedDict()
        self._lists: dict[str, tuple[float, list[JsonDict]]] = {}
        self._emoji: dict[str, str] | None = None
        self._clock = clock

    async def connect(self) -> None:
        """Who the bot is. Raises: LoginLost for a bad token, Temporary."""
        answer, headers = await self.api.call_with_headers(self.bot, "auth.test")
        self.id, self.name = str(answer["team_id"]), str(answer["team"])
        self.url, self.bot_user, self.bot_id = str(answer["url"]), str(answer["user_id"]), str(answer.get("bot_id"))
        granted = {scope.strip() for scope in (headers.get("x-oauth-scopes") or "").split(",")}
        self.bot_name = str(answer.get("user") or self.bot_user)
        self.missing_scopes = tuple(scope for scope in BOT_SCOPES if scope not in granted)
        if "team:read" in granted:
            info = (await self.api.call(self.bot, "team.info"))["team"]
            self.name = str(info.get("name") or self.name)
            self.icon = (info.get("icon") or {}).get("image_230") or (info.get("icon") or {}).get("image_132")
        types = [kind for scope, kind in _LISTED if scope in granted]
        if types:
            args: JsonDict = {"types": ",".join(types), "limit": 200, "exclude_archived": True}
            own = await self.api.pages(self.bot, "users.conversations", "channels", **args)
            self.bot_channels = {str(channel["id"]) for channel in own}
        self.is_ready = True

    def space(self) -> Space:
        icon = RemoteFile(id=self.icon, source={"url": self.icon}) if self.icon else None
        return Space(id=space_id(self.id), name=self.name, avatar=icon)

    # Which token

    def account(self, login: Login) -> Account:
        cookie = login.credentials.get("cookie")
        return Account(str(login.credentials.get("token")), login.id, str(cookie) if cookie else None)

    def account_of(self, author: Author) -> Account:
        return self.account(author.login) if self.acts_for(author) and author.login else self.bot

    def acts_for(self, author: Author) -> bool:
        """Whether the author has a login in this workspace."""
        return author.login is not None and local_part(author.login.id) in self.logins

    def saw(self, channel: str, user: str) -> None:
        """A login's owner is in that channel."""
        if channel not in self.bot_channels:
            self._seen_by[channel] = user
            self._seen_by.move_to_end(channel)
            if len(self._seen_by) > MAX_PEOPLE:
                self._seen_by.popitem(last=False)

    def reader_of(self, channel: str) -> Account:
        """By whom a channel is read: the bot where it can be, else a login that sees it."""
        user = self._seen_by.get(channel)
        if channel in self.bot_channels or user not in self.logins or user is None:
            return self.bot
        return self.account(self.logins[user])

    async def read_channel(self, channel: ChannelId, method: str, **args: Any) -> JsonDict:
        """A call about a channel: by the bot, else by whoever sees it. Raises: ChannelGone."""
        local = local_part(channel)
        accounts = [self.reader_of(local)]
        accounts += [each for each in map(self.account, self.logins.values()) if each not in accounts]
        refusal: Exception = ChannelGone(channel)
        for account in accounts:
            try:
                answer = await self.api.call(account, method, channel=local, **args)
            except ChannelClosed:
                continue
            except Refused as error:
                # Not being in a channel is no reason for another one to be refused.
                refusal = error
                if getattr(error, "error", "") != "not_in_channel":
                    raise
            except LoginLost:
                if account.login is None:
                    raise
            else:
                if account.login is not None:
                    self.saw(local, local_part(account.login))
                return answer
        raise refusal

    # People

    async def person(self, user: str) -> RemotePerson:
        """Raises: NotThere."""
        if user.startswith("B"):
            return await self._bot_person(user)
        return self.person_from(await self.user(user))

    async def user(self, user: str) -> JsonDict:
        if user not in self._people:
            self.learn((await self.api.call(self.bot, "users.info", user=user))["user"])
        self._people.move_to_end(user)
        return self._people[user]

    def learn(self, user: JsonDict) -> None:
        """What an event or a list told of somebody."""
        self._people[str(user["id"])] = user
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)

    def person_from(self, user: JsonDict) -> RemotePerson:
        profile = user.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or user.get("real_name") or user.get("name")
        url = next((profile[size] for size in ("image_original", "image_512", "image_192") if profile.get(size)), None)
        return RemotePerson(
            id=person_id(self.id, str(user["id"])),
            name=str(name or user["id"]),
            avatar=RemoteFile(id=str(url), source={"url": url}) if url else None,
            is_bot=bool(user.get("is_bot")),
            is_ours=user["id"] == self.bot_user,
        )

    async def _bot_person(self, bot: str) -> RemotePerson:
        if "." in bot:
            # One of the names of an app: known only from its messages.
            raise NotThere("apps with names of their own cannot be looked up")
        found = (await self.api.call(self.bot, "bots.info", bot=bot))["bot"]
        url = (found.get("icons") or {}).get("image_72")
        avatar = RemoteFile(id=str(url), source={"url": url}) if url else None
        name = str(found.get("name") or bot)
        return RemotePerson(
            id=person_id(self.id, bot), name=name, avatar=avatar, is_bot=True, is_ours=bot == self.bot_id
        )

    async def all_people(self) -> list[JsonDict]:
        people = await self._listed("users.list", "members", limit=200)
        for user in people:
            self.learn(user)
        return [user for user in people if not user.get("deleted")]

    async def all_channels(self) -> list[JsonDict]:
        """Those that the bot can see."""
        types = "public_channel,private_channel"
        return await self._listed("conversations.list", "channels", types=types, exclude_archived=True, limit=200)

    async def _listed(self, method: str, key: str, **args: Any) -> list[JsonDict]:
        """As it was some minutes ago at most: lists are long, and may be asked for 20 times a minute."""
        known = self._lists.get(method)
        if known is None or self._clock.seconds() - known[0] > LISTS_S:
            known = (self._clock.seconds(), await self.api.pages(self.bot, method, key, **args))
            self._lists[method] = known
        return known[1]

    def forget_lists(self) -> None:
        self._lists.clear()

    # Emoji

    async def emoji(self) -> dict[str, str]:
        """Addresses of the pictures by name; aliases resolved. Without the scope there are none."""
        if self._emoji is None:
            try:
                raw = (await self.api.call(self.bot, "emoji.list")).get("emoji") or {}
            except Refused as error:
                logger.warning("No custom emoji of %s: %s", self.name, error)
                raw = {}
            self._emoji = {name: url for name in raw if (url := _resolved(raw, name))}
        return self._emoji

    def forget_emoji(self) -> None:
        self._emoji = None

    async def remote_emoji(self, name: str) -> RemoteEmoji:
        """An emoji by Slack's name for it."""
        unicode = unicode_of(name)
        if unicode is not None:
            return RemoteEmoji(id=custom_or_unicode(self.id, name), name=name, unicode=unicode)
        url = (await self.emoji()).get(name)
        image = RemoteFile(id=url, name=name, source={"url": url}) if url else None
        return RemoteEmoji(id=custom_emoji_id(self.id, name), name=name, image=image)

    def full_channel(self, channel: str) -> ChannelId:
        return channel_id(self.id, channel)

    def full_person(self, user: str) -> PersonId:
        return person_id(self.id, user)

    def require(self) -> "Team":
        if not self.is_ready:
            raise Temporary("the bridge is not connected to Slack yet")
        return self


_LISTED = (
    ("channels:read", "public_channel"),
    ("groups:read", "private_channel"),
    ("im:read", "im"),
    ("mpim:read", "mpim"),
)


def custom_or_unicode(team: str, name: str) -> Any:
    """The character is an emoji's id where it has one."""
    return unicode_of(name) or custom_emoji_id(team, name)


def _resolved(raw: JsonDict, name: str) -> str | None:
    """The address behind aliases. One for a character has none."""
    for _ in range(MAX_ALIASES):
        value = raw.get(name)
        if not isinstance(value, str):
            return None
        if not value.startswith("alias:"):
            return value
        name = value.removeprefix("alias:")
    return None
