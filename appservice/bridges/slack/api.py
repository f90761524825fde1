"""Slack's Web API, one call at a time: tokens, limits and what goes wrong, in the words of core.

Slack answers 429 with Retry-After when a method is called too often. Whoever calls then waits, and so does everybody
who calls the same method meanwhile: one refusal in a minute costs less than counting along what Slack counts
differently for each app.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from attrs import field, frozen
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from appservice.bridges.core.crossing import Crossing
from appservice.bridges.core.errors import (
    LoginLost,
    MissingPermission,
    NetworkError,
    NotThere,
    Refused,
    Temporary,
    Unsupported,
)
from appservice.bridges.core.ids import LoginId

logger = logging.getLogger(__name__)

JsonDict = dict[str, Any]
TIMEOUT_S = 60
# Longer waits are core's: it comes back, and does something else meanwhile.
MAX_WAIT_S = 90
MAX_WAITS = 5

_LOST = frozenset(
    ["invalid_auth", "token_revoked", "token_expired", "account_inactive", "not_authed", "org_login_required"]
)
_TEMPORARY = frozenset(
    ["internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"]
)
_NOT_THERE = frozenset(
    [
        *(
            "message_not_found",
            "user_not_found",
            "users_not_found",
            "bot_not_found",
            "file_not_found",
            "thread_not_found",
        ),
        *("user_not_visible", "file_deleted"),
    ]
)
_UNSUPPORTED = frozenset(["not_allowed_token_type", "method_not_supported_for_channel_type", "invalid_name"])
# What Slack's words mean to people.
_SAID = {
    "cant_update_message": "Slack lets nobody edit what others wrote",
    "cant_delete_message": "Slack lets nobody but the author and administrators delete a message",
    "edit_window_closed": "the workspace allows edits only for some time",
    "msg_too_long": "the message is too long for Slack",
    "is_archived": "the channel is archived",
    "not_in_channel": "the bridge's bot is not in the channel: invite it there by /invite",
    "restricted_action": "the workspace does not allow this",
    "restricted_action_read_only_channel": "only some people may write in this channel",
    "restricted_action_thread_only_channel": "only threads may be written in this channel",
    "not_authorized": "Slack allows this only to whoever made the channel, and to administrators",
    "name_taken": "there is a channel of this name already",
    "invalid_name_specials": "Slack's channel names have small letters, digits, - and _ only",
    "cant_invite_self": "nobody invites themselves",
    "already_in_channel": "they are in the channel already",
    "too_many_reactions": "there are too many reactions on this message",
    "file_upload_size_restricted": "the file is larger than the workspace allows",
    "storage_limit_reached": "the workspace has no room for more files",
    "user_disabled": "the account was closed",
}


class SlackRefused(Refused):
    """Slack said no. `error` is its word for it."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class ChannelClosed(SlackRefused):
    """channel_not_found: whoever knows the channel's id makes ChannelGone of it."""


@frozen
class Account:
    """Whose token. `cookie` belongs to one from a browser. `login` is None for the bridge's own bot."""

    token: str = field(repr=False)
    login: LoginId | None = None
    cookie: str | None = field(default=None, repr=False)

    @property
    def is_browser(self) -> bool:
        return self.token.startswith("xoxc-")


class SlackApi:
    """All of it for one bridge. Methods are Twisted's coroutines; only `_send` runs in the loop."""

    def __init__(self, *, base_url: str, crossing: Crossing) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._crossing = crossing
        self._session: aiohttp.ClientSession | None = None
        # Until when a method is not called, in the loop's time; only those that Slack holds up.
        self._gates: dict[tuple[str, str], float] = {}
        self.held_up = 0

    @property
    def base_url(self) -> str:
        return self._base_url

    async def call(self, account: Account, method: str, **args: Any) -> JsonDict:
        """The answer. Raises: what `core.errors` has for what Slack says."""
        answer, _ = await self.call_with_headers(account, method, **args)
        return answer

    async def call_with_headers(self, account: Account, method: str, **args: Any) -> tuple[JsonDict, Mapping[str, str]]:
        try:
            return await self._crossing.from_asyncio(self._send(account, method, args))
        except SlackApiError as error:
            raise _translated(error, account) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Temporary(f"Slack cannot be reached: {type(error).__name__}") from error

    async def pages(self, account: Account, method: str, key: str, most: int = 10_000, **args: Any) -> list[JsonDict]:
        """All items of a list, from as many pages as there are; not more than `most`."""
        found: list[JsonDict] = []
        cursor = ""
        while len(found) < most:
            answer = await self.call(account, method, **args, **({"cursor": cursor} if cursor else {}))
            found += answer.get(key) or []
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return found[:most]

    def client(self, account: Account) -> AsyncWebClient:
        """slack_sdk's own, over the shared session. Call it in the loop."""
        headers = {"Cookie": f"d={account.cookie}"} if account.cookie else None
        return AsyncWebClient(
            account.token,
            base_url=self._base_url,
            session=self.session(),
            headers=headers,
            retry_handlers=[],
            logger=_QUIET,
        )

    def session(self) -> aiohttp.ClientSession:
        """One for all, so that connections are kept. Call it in the loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=20, sock_read=TIMEOUT_S)
            )
        return self._session

    async def in_loop(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """What a coroutine of asyncio's gives."""

        async def run() -> Any:
            return await function()

        try:
            return await self._crossing.from_asyncio(run())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Temporary(f"Slack cannot be reached: {type(error).__name__}") from error

    async def close(self) -> None:
        async def close() -> None:
            if self._session is not None:
                await self._session.close()

        await self._crossing.from_asyncio(close())

    async def _send(self, account: Account, method: str, args: JsonDict) -> tuple[JsonDict, Mapping[str, str]]:
        data = {name: _form(value) for name, value in args.items() if value is not None}
        key = (f"{method} {args.get('channel', '')}" if method == "chat.postMessage" else method, account.token)
        client = self.client(account)
        loop = asyncio.get_running_loop()
        for _ in range(MAX_WAITS):
            await self._wait(key, loop)
            try:
                response = await client.api_call(method, data=data)
            except SlackApiError as error:
                wait_s = retry_after(error)
                if wait_s is None:
                    raise
                self.held_up += 1
                self._gates[key] = max(self._gates.get(key, 0.0), loop.time() + wait_s)
                logger.info("Slack holds up %s for %g s", method, wait_s)
            else:
                answer: Any = response.data
                return answer, response.headers
        raise Temporary(f"Slack holds up {method}", max(1.0, self._gates.get(key, 0.0) - loop.time()))

    async def _wait(self, key: tuple[str, str], loop: asyncio.AbstractEventLoop) -> None:
        while (left := self._gates.get(key, 0.0) - loop.time()) > 0:
            if left > MAX_WAIT_S:
                raise Temporary("Slack holds up the bridge", left)
            await asyncio.sleep(left)
        self._gates.pop(key, None)


# What slack_sdk logs holds arguments, that is messages of people.
_QUIET = logging.getLogger("slack_sdk.quiet")
_QUIET.setLevel(logging.ERROR)


def _form(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)


def error_of(error: SlackApiError) -> tuple[str, JsonDict, int]:
    """Slack's word for it, the whole answer, and the status."""
    data = getattr(error.response, "data", None)
    status = getattr(error.response, "status_code", None) or getattr(error.response, "status", None) or 0
    data = data if isinstance(data, dict) else {}
    return str(data.get("error") or f"status {status}"), data, int(status)


def retry_after(error: SlackApiError) -> float | None:
    """Seconds, if that is what Slack wants."""
    _, data, status = error_of(error)
    if status != 429 and data.get("error") not in ("ratelimited", "rate_limited"):
        return None
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    try:
        return min(3600.0, max(0.2, float(headers.get("Retry-After", "1"))))
    except ValueError:
        return 1.0


def _translated(error: SlackApiError, account: Account) -> NetworkError:
    word, data, status = error_of(error)
    if status >= 500 or word in _TEMPORARY or not data:
        return Temporary(f"Slack failed: {word}")
    if word in _LOST:
        return LoginLost(f"Slack does not take the token any more ({word})", account.login)
    if word == "missing_scope":
        return MissingPermission(
            str(data.get("needed", "?")), f"the Slack app lacks the scope {data.get('needed', '?')}"
        )
    if word == "channel_not_found":
        return ChannelClosed(word, "the channel is gone, or closed to the bridge")
    if word in _NOT_THERE:
        return NotThere(f"it is not there (any more) on Slack ({word})")
    if word in _UNSUPPORTED:
        return Unsupported(f"Slack does not have this ({word})")
    return SlackRefused(word, _SAID.get(word, f"Slack refuses it: {word}"))
