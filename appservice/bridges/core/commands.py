"""What the bot answers: in a management room to every message, elsewhere to those that begin with !NAME."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from appservice.bridges.core.bridging import Bridging
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError, Refused, Temporary
from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.logging_in import LoggingIn
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.matrix_to import link
from appservice.bridges.core.network import LoginStep
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.older import MAX_COUNT
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.settings import Level
from appservice.bridges.core.starting import Starting
from appservice.bridges.core.status import Status
from appservice.bridges.core.texts import counted
from matrix.ids import UserId
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
_MAX_LISTED = 50
_SIGNED_IN = "You have signed in as **{}**. What you write in bridged rooms is written as you."
_RANK: dict[Level, int] = {"none": 0, "relay": 1, "user": 2, "admin": 3}

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Asked:
    """A command as it was given."""

    sender: UserId
    room_id: str
    event_id: str
    words: list[str]
    portal: PortalRow | None

    @property
    def text(self) -> str:
        return " ".join(self.words)


Command = Callable[[Asked], Awaitable[str]]


@frozen
class _Known:
    function: Command
    level: Level
    usage: str
    help: str


class Commands:
    """Each gives the answer."""

    def __init__(
        self,
        *,
        context: Context,
        notices: Notices,
        logging_in: LoggingIn,
        bridging: Bridging,
        starting: Starting,
        status: Status,
        portals: Portals,
    ) -> None:
        self._context, self._notices = context, notices
        self._logging_in, self._bridging, self._starting = logging_in, bridging, starting
        self._status, self._portals = status, portals
        self._known = {
            "help": _Known(self._help, "relay", "help", "What there is."),
            "login": _Known(self._login, "user", "login [WAY]", "Sign in, so that you write as yourself."),
            "logout": _Known(self._logout, "user", "logout [NAME]", "Sign out."),
            "cancel": _Known(self._cancel, "user", "cancel", "Break off signing in."),
            "bridge": _Known(
                self._bridge, "user", "bridge CHANNEL", "Bridge this room; in a management room: open one."
            ),
            "unbridge": _Known(self._unbridge, "user", "unbridge [CHANNEL]", "Bridge it no longer."),
            "list": _Known(self._list, "relay", "list", "The channels that are bridged."),
            "search": _Known(self._search, "relay", "search WORD", "Look for channels."),
            "chat": _Known(self._chat, "relay", "chat PERSON", "Begin a direct chat."),
            "sync": _Known(self._sync, "user", "sync [CHANNEL]", "Bring the room in line with the channel."),
            "backfill": _Known(self._backfill, "user", "backfill [COUNT]", "Bring in older messages."),
            "emoji": _Known(self._emoji, "user", "emoji", "Publish the custom emoji anew."),
            "status": _Known(self._tell_status, "relay", "status", "How the bridge is."),
        }

    @property
    def prefix(self) -> str:
        return f"!{self._context.network.name}"

    async def take(self, event: JsonDict, portal: PortalRow | None) -> bool:
        """Was it a command? Then it was answered. Raises: Temporary, HomeserverDown."""
        content, body = event["content"], event["content"].get("body")
        if content.get("msgtype") != "m.text" or not isinstance(body, str):
            return False
        words = body.split()[:200]
        is_managed = portal is None and self._notices.manager_of(event["room_id"]) == event["sender"]
        if words[:1] == [self.prefix]:
            words = words[1:] or ["help"]
        elif not is_managed or not words:
            return False
        if self._context.settings.level_of(event["sender"]) == "none":
            return portal is None
        asked = Asked(
            sender=UserId(event["sender"]),
            room_id=event["room_id"],
            event_id=event["event_id"],
            words=words,
            portal=portal,
        )
        await self._notices.say(event["room_id"], await self._answer(asked), key=event["event_id"])
        return True

    async def _answer(self, asked: Asked) -> str:
        name, rest = asked.words[0].lower(), asked.words[1:]
        known = self._known.get(name)
        try:
            if known is None and await self._logging_in.wanted(asked.sender):
                return await self._give(asked)
            if known is None and (login := await self._logging_in.done_by(asked.sender, asked.event_id)) is not None:
                return _SIGNED_IN.format(login)
            if known is None:
                return f"I do not know `{name[:50]}`. Say `{self._usage('help', asked)}`."
            if _RANK[self._context.settings.level_of(asked.sender)] < _RANK[known.level]:
                return "You may not do that with this bridge."
            again = Asked(
                sender=asked.sender, room_id=asked.room_id, event_id=asked.event_id, words=rest, portal=asked.portal
            )
            return await known.function(again)
        except Temporary:
            raise
        except (NetworkError, MatrixRefused) as error:
            return f"That did not work: {error}."

    def _usage(self, text: str, asked: Asked) -> str:
        is_managed = asked.portal is None and self._notices.manager_of(asked.room_id) is not None
        return text if is_managed else f"{self.prefix} {text}"

    async def _help(self, asked: Asked) -> str:
        rank = _RANK[self._context.settings.level_of(asked.sender)]
        lines = [
            f"`{self._usage(each.usage, asked)}`: {each.help}"
            for each in self._known.values()
            if _RANK[each.level] <= rank
        ]
        return "\n".join([f"I am the bridge to {self._context.network.title}.", *lines])

    # --- signing in

    async def _login(self, asked: Asked) -> str:
        flows = self._context.network.login_flows()
        if not flows:
            return f"There is nothing to sign in with on {self._context.network.title}."
        if asked.portal is not None or self._notices.manager_of(asked.room_id) is None:
            return "Sign in where nobody reads along: begin a direct chat with me."
        if len(flows) > 1 and not asked.words:
            return "\n".join(["Which way?", *(f"`login {flow.id}`: {flow.name}" for flow in flows)])
        flow = self._logging_in.flow(asked.words[0] if asked.words else None)
        if flow is None:
            return "There is no such way to sign in: say `login`."
        await self._logging_in.begin(asked.sender, flow)
        if not flow.fields:
            return await self._give(asked)
        return f"{flow.instructions}\n{_asking(flow.fields)}"

    async def _give(self, asked: Asked) -> str:
        fields = await self._logging_in.wanted(asked.sender) or ()
        if fields and any(field.is_secret for field in fields):
            await self._hide(asked)
        words = asked.words if len(fields) > 1 else [asked.text]
        values = {field.id: word for field, word in zip(fields, words, strict=False)}
        result = await self._logging_in.give(asked.sender, values, asked.event_id)
        if isinstance(result, LoginStep):
            address = f"\n{result.open_url}" if result.open_url else ""
            return f"{result.text}{address}\n{_asking(result.fields)}".rstrip()
        return _SIGNED_IN.format(result.name)

    async def _hide(self, asked: Asked) -> None:
        """The message with a secret goes."""
        txn = f"hide{asked.event_id}"
        try:
            await self._context.matrix.redact(self._context.bot, asked.room_id, asked.event_id, txn, "a secret")
        except MatrixRefused:
            text = "I cannot delete your message with the secret: please do it."
            await self._notices.say(asked.room_id, text, key=txn)

    async def _logout(self, asked: Asked) -> str:
        names = await self._logging_in.log_out(asked.sender, asked.text or None)
        return f"Signed out: {', '.join(names)}." if names else "You had not signed in."

    async def _cancel(self, asked: Asked) -> str:
        return "Broken off." if await self._logging_in.cancel(asked.sender) else "There is nothing to break off."

    # --- rooms

    async def _bridge(self, asked: Asked) -> str:
        if not asked.words:
            raise Refused("say which channel: its name or id")
        author = await self._bridging.author(asked.sender, asked.room_id)
        channel = await self._bridging.find(asked.text, author)
        if self._notices.manager_of(asked.room_id) is not None:
            portal = await self._bridging.open_for(asked.sender, channel)
            return f"Its room is [{channel.name or channel.id}]({link(portal.room_id)}). You are invited."
        await self._bridging.bridge(asked.sender, asked.room_id, channel)
        return f"This room is bridged to **{channel.name or channel.id}** now."

    async def _portal_of(self, asked: Asked) -> PortalRow:
        if asked.portal is not None and not asked.words:
            return asked.portal
        if not asked.words:
            raise Refused("say which channel: its name or id")
        named = [
            each for each in self._portals.all() if asked.text.lstrip("#") == each.shown.get("name", "").lstrip("#")
        ]
        found = self._portals.of_channel(asked.text) or next(iter(named), None)
        if found is None:
            raise Refused("that channel is not bridged")
        return found

    async def _unbridge(self, asked: Asked) -> str:
        portal = await self._portal_of(asked)
        await self._bridging.unbridge(asked.sender, portal)
        return f"**{portal.shown.get('name', portal.channel_id)}** is no longer bridged."

    async def _list(self, asked: Asked) -> str:
        portals = sorted(self._portals.all(), key=lambda each: str(each.shown.get("name", each.channel_id)))
        lines = [
            f"[{each.shown.get('name') or each.channel_id}]({link(each.room_id)})"
            + (f": {each.shown['gone']}" if "gone" in each.shown else "")
            for each in portals[:_MAX_LISTED]
            if self._may_list(each, asked.sender)
        ]
        return "\n".join([counted(len(portals), "channel is bridged.", "channels are bridged."), *lines])

    def _may_list(self, portal: PortalRow, user_id: str) -> bool:
        is_admin = self._context.settings.level_of(user_id) == "admin"
        return is_admin or "listed" in portal.shown or self._portals.is_inside(portal.room_id, user_id)

    async def _search(self, asked: Asked) -> str:
        found = await self._bridging.search(asked.sender, asked.text, _MAX_LISTED)
        lines = [
            f"**{channel.name}** (`{channel.id}`)" + ("" if portal is None else f": {link(portal.room_id)}")
            for channel, portal in found
        ]
        return "\n".join(lines) or "Nothing was found."

    async def _chat(self, asked: Asked) -> str:
        author = await self._bridging.author(asked.sender, asked.room_id)
        person = await self._context.network.find_person(asked.text, author)
        if person is None:
            raise Refused(f"nobody is called {asked.text}")
        portal = await self._starting.start(asked.sender, asked.room_id, PersonId(person.id))
        return f"Your chat with **{person.name}** is [here]({link(portal.room_id)})."

    async def _sync(self, asked: Asked) -> str:
        portal = await self._portal_of(asked)
        await self._bridging.refresh(portal)
        return "The room is being brought in line."

    async def _backfill(self, asked: Asked) -> str:
        given = asked.words[0][:6] if asked.words else ""
        count = int(given) if given.isdecimal() else 100
        if asked.portal is None:
            raise Refused("say it in the room of a channel")
        await self._bridging.bring_older(asked.sender, asked.portal, min(count, MAX_COUNT))
        return "Older messages are being read; the network may take its time."

    async def _emoji(self, asked: Asked) -> str:
        count = await self._starting.publish_emoji()
        return f"{count} custom emoji and stickers are published in the rooms of their spaces."

    async def _tell_status(self, asked: Asked) -> str:
        return "\n".join(await self._status.lines(asked.sender))


def _asking(fields: "tuple[Any, ...]") -> str:
    if not fields:
        return ""
    words = " ".join(f"<{field.label}>" for field in fields)
    return f"Now say: {words}. (`cancel` breaks off.)"
