"""Socket Mode: slack_sdk's client, watched. An envelope is acknowledged when core has it durably, not before.

Source: docs.slack.dev, "Using Socket Mode".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from appservice.bridges.slack.api import Account, SlackApi, retry_after

logger = logging.getLogger(__name__)

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0

# Gives True when it is durable.
Accept = Callable[[SocketModeRequest], Awaitable[bool]]


class SlackSocket:
    """One connection for one app. Everything here runs in the loop.

    `state(is_connected, text, has_missed)` is told of each change.
    """

    def __init__(
        self,
        *,
        api: SlackApi,
        app_token: str,
        accept: Accept,
        state: Callable[[bool, str, bool], None],
        ping_s: float,
    ) -> None:
        self._api = api
        self._account = Account(app_token)
        self._accept = accept
        self._state = state
        self._ping_s = ping_s
        self._client: _Client | None = None
        self._was_told_to_go = False
        self._is_first = True

    async def run(self) -> None:
        """Until it is cancelled."""
        client = _Client(
            self._account.token,
            web_client=self._api.client(self._account),
            ping_interval=self._ping_s,
            logger=_logger_of_library(),
        )
        client.refused = self._refused
        client.message_listeners.append(self._heard)
        client.socket_mode_request_listeners.append(self._taken)
        client.on_close_listeners.append(self._closed)
        self._client = client
        try:
            await client.connect()  # type: ignore[no-untyped-call]
            await asyncio.Event().wait()
        finally:
            await client.close()  # type: ignore[no-untyped-call]

    def _refused(self, text: str) -> None:
        self._state(False, text, True)

    async def _heard(self, client: Any, message: dict[str, Any], raw: str | None) -> None:
        kind = message.get("type")
        if kind == "hello":
            # A refreshed connection misses nothing: Slack sends what is new over the other one, or again.
            has_missed = not self._was_told_to_go
            self._was_told_to_go = False
            self._state(True, "", has_missed)
        elif kind == "disconnect":
            self._was_told_to_go = message.get("reason") in ("refresh_requested", "warning")
            logger.info("Slack asks for another connection: %s", message.get("reason"))

    async def _closed(self, message: Any) -> None:
        if not self._was_told_to_go:
            self._state(False, "the connection to Slack was lost", True)

    async def _taken(self, client: Any, request: SocketModeRequest) -> None:
        if await self._accept(request):
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))


class _Client(SocketModeClient):
    """Where it asks for a new address in a loop, this one asks more and more slowly, and tells why it is refused.

    And waits in silence where Slack holds it up: this one tells that too.
    """

    refused: Callable[[str], None]
    _retry_s = FIRST_RETRY_S

    async def issue_new_wss_url(self) -> str:
        while True:
            try:
                answer = await self.web_client.apps_connections_open(app_token=self.app_token)
                url = str(answer["url"])
            except Exception as error:  # noqa: BLE001 - whatever it is, the connection is tried again
                held_s = _held_s(error)
                if held_s is not None:
                    self.refused(f"Slack lets an app connect about once a minute: in {held_s:g} s it is tried again")
                    await asyncio.sleep(held_s)
                    continue
                self.refused(f"Slack gives no connection: {_word(error)}")
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(MAX_RETRY_S, self._retry_s * 2)
            else:
                self._retry_s = FIRST_RETRY_S
                return url


def _held_s(error: Exception) -> float | None:
    """For how long Slack wants to hear no more."""
    return retry_after(error) if isinstance(error, SlackApiError) else None


def _word(error: Exception) -> str:
    data = getattr(getattr(error, "response", None), "data", None)
    return str(data.get("error")) if isinstance(data, dict) else type(error).__name__


def _logger_of_library() -> logging.Logger:
    """Its own lines of information are many; and at DEBUG it logs what people write."""
    library = logging.getLogger("slack_sdk.socket_mode")
    library.setLevel(logging.WARNING)
    return library
