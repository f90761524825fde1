"""A login's own connection, as Slack's clients have it: typing, presence, what was read, channels without the bot.

Slack gives it to tokens of browsers, and to old ones with the scope `client`. What apps are told otherwise has none of
this. Source: docs.slack.dev, "Legacy: the RTM API".
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from attrs import define

from appservice.bridges.slack.api import Account, SlackApi

logger = logging.getLogger(__name__)

JsonDict = dict[str, Any]
PING_S = 20.0
FIRST_RETRY_S, MAX_RETRY_S = 2.0, 120.0


@define
class Rtm:
    """`heard(event)` comes back when it is done with the event; `state(is_connected, text)` hears of changes.

    Runs in the loop.
    """

    api: SlackApi
    account: Account
    heard: Callable[[JsonDict], Awaitable[None]]
    state: Callable[[bool, str], None]
    _socket: aiohttp.ClientWebSocketResponse | None = None
    _presences: list[str] | None = None
    _number: int = 0

    async def run(self) -> None:
        """Until it is cancelled, or Slack takes the token no more."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                answer = await self.api.client(self.account).api_call("rtm.connect")
                async with self.api.session().ws_connect(str(answer["url"]), heartbeat=PING_S) as socket:
                    self._socket = socket
                    self.state(True, "")
                    retry_s = FIRST_RETRY_S
                    await self._subscribe()
                    await self._listen(socket)
            except Exception as error:  # noqa: BLE001 - whatever it is, the connection is tried again
                word = getattr(getattr(error, "response", None), "data", None)
                told = word.get("error") if isinstance(word, dict) else type(error).__name__
                self.state(False, f"the connection of the login was lost ({told})")
                if told in (
                    "invalid_auth",
                    "token_revoked",
                    "account_inactive",
                    "missing_scope",
                    "not_allowed_token_type",
                ):
                    return
            finally:
                self._socket = None
            await asyncio.sleep(retry_s)
            retry_s = min(MAX_RETRY_S, retry_s * 2)

    async def type_in(self, channel: str) -> None:
        await self._say({"type": "typing", "channel": channel})

    async def watch(self, people: list[str]) -> None:
        """Whose presence is to be told."""
        self._presences = people
        await self._subscribe()

    async def _subscribe(self) -> None:
        if self._presences:
            await self._say({"type": "presence_sub", "ids": self._presences})

    async def _say(self, message: JsonDict) -> None:
        if self._socket is not None:
            self._number += 1
            with contextlib.suppress(ConnectionError):
                await self._socket.send_str(json.dumps({"id": self._number, **message}))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                event = json.loads(message.data)
            except ValueError:
                continue
            if not isinstance(event, dict):
                continue
            if event.get("type") == "goodbye":
                return
            await self.heard(event)
