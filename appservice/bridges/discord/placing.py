"""What comes from the gateway, on its way to core: one after the other, each to the queue of its channel.

Dispatches of a thread go to the queue of its channel, those of a direct chat to that of the conversation; where the
gateway has not told what a channel is, it is asked for. Typing and presence are told at once and kept nowhere. What is
pressed is acknowledged at once: Discord waits three seconds.
"""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from appservice.bridges.core.errors import NetworkError, Temporary
from appservice.bridges.core.ids import ChannelId, MessageId, PersonId
from appservice.bridges.core.incoming import Delivery, Echo
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Presence
from appservice.bridges.core.package import Tools
from appservice.bridges.discord.channels import Channels
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.directs import Directs
from appservice.bridges.discord.messages import WRITTEN
from appservice.bridges.discord.reading import IS_READ
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.shapes import made_ms
from appservice.bridges.discord.webhooks import Webhooks
from storage.database import CommitUnknown, DatabaseDown

Json = dict[str, Any]

# Taken at once by core: one commit.
BATCH = 100
# What waits while the database is down. Beyond it the history tells what was missed.
MAX_WAITING = 20_000
_RETRY_S = 1.0
_PRESENCES: Mapping[str, Presence] = {"online": "online", "idle": "unavailable", "dnd": "online"}
_DEFERRED = 6
_WITHOUT_CHANNEL = frozenset({"GUILD", "THREAD_LIST"})

logger = logging.getLogger(__name__)


class Placing:
    """`take` in the reactor's thread."""

    def __init__(
        self,
        *,
        bridge: Bridge,
        rest: Rest,
        directory: Directory,
        channels: Channels,
        directs: Directs,
        webhooks: Webhooks,
        tools: Tools,
    ) -> None:
        self._bridge, self._rest, self._directory = bridge, rest, directory
        self._channels, self._directs, self._webhooks = channels, directs, webhooks
        self._clock, self._tasks = tools.clock, tools.tasks
        self._waiting: deque[tuple[str, Json, str]] = deque()
        self._is_running = False
        self._has_missed = False

    def take(self, event: str, data: Json, key: str) -> None:
        """A dispatch, as it came."""
        try:
            if event == "GUILD_DELETE":
                data = {
                    **data,
                    "hearth_channels": [each["id"] for each in self._directory.channels_of(str(data["id"]))],
                }
            self._directory.take(event, data)
            if event in ("TYPING_START", "PRESENCE_UPDATE"):
                self._passing(event, data)
                return
        except (KeyError, TypeError, ValueError):
            # Not as it is documented: the kind is named, what it says is nobody's business.
            logger.warning("A %s of the gateway is not understood", event)
            return
        if event not in IS_READ:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._has_missed = True
            return
        self._waiting.append((event, data, key))
        if not self._is_running:
            self._is_running = True
            self._tasks.background("discord.accept", self._drain())

    def _passing(self, event: str, data: Json) -> None:
        if event == "PRESENCE_UPDATE":
            presence = _PRESENCES.get(str(data["status"]), "offline")
            self._bridge.presence(PersonId(str(data["user"]["id"])), presence, _status(data))
            return
        if self._directory.is_me(str(data["user_id"])):
            return
        channel = self._directory.parent_of(str(data["channel_id"]))
        if channel is not None and "guild_id" in data:
            self._bridge.typing(ChannelId(channel), PersonId(str(data["user_id"])))
        elif "guild_id" not in data:
            self._tasks.background("discord.typing", self._typing_directly(data))

    async def _typing_directly(self, data: Json) -> None:
        conversation = await self._directs.of_new(str(data["channel_id"]), {})
        if conversation is not None:
            self._bridge.typing(conversation.id, PersonId(str(data["user_id"])))

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                placed = [each for item in batch if (each := await self._placed(*item)) is not None]
                await self._accept(placed)
                if self._has_missed and not self._waiting:
                    self._has_missed = False
                    self._bridge.catch_up()
        finally:
            self._is_running = False

    async def _accept(self, deliveries: list[Delivery]) -> None:
        """Until core has them."""
        while deliveries:
            try:
                await self._bridge.accept(deliveries)
                return
            except (DatabaseDown, CommitUnknown) as error:
                logger.warning("%d dispatches wait for the database: %s", len(deliveries), error)
                await self._clock.sleep(_RETRY_S)

    async def _placed(self, event: str, data: Json, key: str) -> Delivery | None:
        """None for what can belong nowhere."""
        if event == "INTERACTION_CREATE":
            await self._acknowledge(data)
        try:
            channel, thread = await self._where(event, data)
            echo = self._echo(data, thread) if event == "MESSAGE_CREATE" else None
        except Temporary as error:
            logger.warning("Where a %s belongs cannot be found out: %s", event, error)
            self._has_missed = True
            return None
        except NetworkError as error:
            logger.info("A %s belongs nowhere: %s", event, error)
            return None
        except (KeyError, TypeError, ValueError):
            logger.warning("A %s of the gateway is not understood", event)
            return None
        payload = {"event": event, "data": data, "channel": channel, "thread": thread, "at_ms": self._clock.now_ms()}
        return Delivery(queue=ChannelId(channel) if channel else None, payload=payload, key=key, echo=echo)

    def _echo(self, data: Json, thread: str | None) -> Echo | None:
        """Of what people write the bridge has written this, as the bot or by a webhook."""
        webhook_id = data.get("webhook_id")
        if webhook_id is None:
            is_ours = self._directory.is_me(str(data["author"]["id"]))
        else:
            is_ours = self._webhooks.is_known(str(webhook_id))
        if not is_ours or int(data.get("type") or 0) not in WRITTEN:
            return None
        message_id = MessageId(str(data["id"]))
        return Echo(id=message_id, sent_ms=made_ms(message_id), is_in_thread=thread is not None)

    async def _where(self, event: str, data: Json) -> tuple[str, str | None]:
        """(channel, thread); "" for what concerns no channel. Raises: NetworkError."""
        if event.startswith("GUILD"):
            return "", None
        if event.startswith("CHANNEL") and event != "CHANNEL_PINS_UPDATE":
            return str(data["id"]), None
        if event == "THREAD_CREATE":
            return str(data["parent_id"]), str(data["id"])
        channel_id = str(data["channel_id"])
        if "guild_id" not in data:
            return await self._direct(event, channel_id, data), None
        parent = await self._channels.parent_of(channel_id)
        return parent, None if parent == channel_id else channel_id

    async def _direct(self, event: str, channel_id: str, data: Json) -> str:
        """The conversation; "" for what is said to the bot itself."""
        if event == "MESSAGE_CREATE" and not self._directory.is_me(str(data["author"]["id"])):
            text = str(data.get("content") or "").strip().lower()
            if text in ("link", "!link", "/link"):
                return ""
            found = await self._directs.of_new(channel_id, data)
            if found is not None:
                await self._directs.begin(found, str(data["author"]["id"]))
        else:
            message_id = data.get("message_id") or data.get("id") or (data.get("message") or {}).get("id")
            found = await self._directs.of_message(channel_id, str(message_id or 0))
        return "" if found is None else found.id

    async def _acknowledge(self, data: Json) -> None:
        """Else the person is told that the application did not answer."""
        path = "/interactions/{webhook_id}/{webhook_token}/callback"
        try:
            body = {"type": _DEFERRED}
            await self._rest.ask("POST", path, body, webhook_id=str(data["id"]), webhook_token=str(data["token"]))
        except (NetworkError, KeyError) as error:
            logger.info("A press of a button is not acknowledged: %s", error)


def _status(data: Json) -> str | None:
    """What people have set as their status."""
    for activity in data.get("activities") or []:
        if activity.get("type") == 4 and activity.get("state"):
            return str(activity["state"])[:200]
    return None
