"""Discord's REST API: one coroutine for every request, in Discord's pace, with core's errors.

discord.py keeps the buckets (it waits before it is told to, and after a 429), tries again what fails with a 5xx, and
ends after five attempts. But what a webhook writes is not tried twice: after a 5xx it may be there, and only the
history can tell. What is added here: errors as core knows them, a limit for how long is waited, and a stop
before Discord bans the address: 10,000 answers of 401, 403 or 429 in ten minutes. Source: Discord developer
documentation, "Rate Limits", "Invalid Request Limit".
"""

import asyncio
import io
import json
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import discord
from attrs import frozen
from discord.http import HTTPClient, Route
from twisted.internet.defer import Deferred

from appservice.bridges.core.crossing import Crossing
from appservice.bridges.core.errors import (
    ChannelGone,
    FileTooLarge,
    LoginLost,
    MissingPermission,
    NetworkError,
    NotThere,
    Refused,
    Temporary,
)
from appservice.bridges.core.ids import ChannelId

# A bucket that is closed for longer (a channel's name: twice in ten minutes) is told, not waited for.
MAX_WAIT_S = 60.0
# Well below Discord's 10,000: other programs may run behind the same address.
MAX_INVALID, INVALID_WINDOW_S = 2_000, 600.0
_REQUEST_S = 300.0
_CHUNK = 64 * 1024

# What a webhook writes.
EXECUTE = "/webhooks/{webhook_id}/{webhook_token}"

# Codes of refusals. Source: Discord developer documentation, "JSON Error Codes".
UNKNOWN_CHANNEL, UNKNOWN_GUILD, UNKNOWN_WEBHOOK, MISSING_ACCESS = 10003, 10004, 10015, 50001
MISSING_PERMISSIONS, TOO_LARGE, CANNOT_MESSAGE, INVALID_FORM = 50013, 40005, 50007, 50035
_GONE = {10008, 10007, 10011, 10013, 10014, 10060}


class UnknownWebhook(NotThere):
    """Somebody has deleted it."""


@frozen(kw_only=True)
class Upload:
    """A file of a message: from the disk, or from memory."""

    name: str
    source: Path | bytes
    is_spoiler: bool = False


@frozen(kw_only=True)
class Request:
    """`ids` fill the {names} of the path; `needs` is the permission that a refusal means."""

    method: str
    path: str
    ids: Mapping[str, str]
    body: Any = None
    query: Mapping[str, Any] | None = None
    files: Sequence[Upload] = ()
    reason: str | None = None
    needs: str = ""


class Rest:
    """`ask` is awaited by coroutines of Twisted's."""

    def __init__(self, *, crossing: Crossing, token: str, api: str) -> None:
        self._crossing = crossing
        self._token = token
        # The library knows one API in a process; so does the bridge.
        Route.BASE = api.rstrip("/")
        self._http: HTTPClient | None = None
        self._opening: asyncio.Lock | None = None
        self._invalid: deque[float] = deque(maxlen=MAX_INVALID)
        self._asking: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        files: Sequence[Upload] = (),
        reason: str | None = None,
        needs: str = "",
        **ids: str,
    ) -> "Deferred[Any]":
        """The JSON of the answer; None for 204. Raises: NetworkError."""
        request = Request(
            method=method,
            path=path,
            ids=ids,
            body=body,
            query=query,
            files=files,
            reason=reason,
            needs=needs,
        )
        return self._crossing.from_asyncio(self._ask(request))

    def download(self, url: str, write: Any) -> "Deferred[str | None]":
        """Hands each piece of a file to `write`; gives its type. Raises: NotThere, Temporary, what `write` raises."""
        return self._crossing.from_asyncio(self._download(url, write))

    def close(self) -> "Deferred[None]":
        """What is asked for now ends as Temporary: it is asked again by the next process."""
        return self._crossing.from_asyncio(self._end())

    # In the loop.

    async def client(self) -> HTTPClient:
        """The library's, logged in. Raises: NetworkError."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._http is None:
                self._http = await self._log_in()
            return self._http

    async def _log_in(self) -> HTTPClient:
        http = HTTPClient(asyncio.get_running_loop(), max_ratelimit_timeout=MAX_WAIT_S)
        try:
            await http.static_login(self._token)
        except discord.LoginFailure as error:
            await http.close()
            self._count_invalid()
            raise LoginLost("Discord does not accept the bot's token") from error
        except (discord.HTTPException, OSError, aiohttp.ClientError, TimeoutError) as error:
            await http.close()
            raise translated(error, Request(method="GET", path="/users/@me", ids={})) from error
        return http

    async def _ask(self, request: Request) -> Any:
        self._refuse_if_banned()
        http = await self.client()
        route = Route(request.method, request.path, **request.ids)
        files: list[discord.File] = []
        try:
            files = [_opened(upload) for upload in request.files]
            return await self._until_closed(_send(http, route, request, files))
        except (discord.DiscordException, OSError, aiohttp.ClientError, TimeoutError) as error:
            if isinstance(error, discord.HTTPException) and error.status in (401, 403, 429):
                self._count_invalid()
            if isinstance(error, discord.HTTPException) and error.status == 401 and "webhook_token" not in request.ids:
                await self._close()
            raise translated(error, request) from error
        finally:
            for file in files:
                file.close()

    async def _until_closed(self, sending: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.get_running_loop().create_task(sending)
        self._asking.add(task)
        try:
            async with asyncio.timeout(_REQUEST_S):
                return await task
        except asyncio.CancelledError:
            if self._is_closed:
                raise TimeoutError("the bridge stops") from None
            raise
        finally:
            self._asking.discard(task)

    async def _end(self) -> None:
        self._is_closed = True
        for task in self._asking:
            task.cancel()
        await self._close()

    def _count_invalid(self) -> None:
        self._invalid.append(asyncio.get_running_loop().time())

    def _refuse_if_banned(self) -> None:
        if len(self._invalid) < MAX_INVALID:
            return
        left = self._invalid[0] + INVALID_WINDOW_S - asyncio.get_running_loop().time()
        if left > 0:
            raise Temporary("too many requests were refused; Discord would ban the bridge's address", left)

    async def _download(self, url: str, write: Any) -> str | None:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S, sock_read=60)
        try:
            # Addresses of files carry their own signature: no token goes there.
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, allow_redirects=False) as got,
            ):
                if got.status != 200:
                    raise _no_file(got.status)
                async for chunk in got.content.iter_chunked(_CHUNK):
                    write(chunk)
                return None if got.content_type == "application/octet-stream" else got.content_type
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Temporary(f"the file does not come: {error}") from error

    async def _close(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.close()


async def _send(http: HTTPClient, route: Route, request: Request, files: list[discord.File]) -> Any:
    more: dict[str, Any] = {}
    if request.query is not None:
        more["params"] = {key: str(value) for key, value in request.query.items() if value is not None}
    if request.reason is not None:
        more["reason"] = request.reason[:500]
    once: list[Any] = [_Once()] if (request.method, request.path) == ("POST", EXECUTE) else []
    if not files:
        json_body = {} if request.body is None else {"json": request.body}
        return await http.request(route, files=once, **more, **json_body)
    described = [file.to_dict(index) for index, file in enumerate(files)]
    kept = request.body.get("attachments", [])
    form: list[dict[str, Any]] = [
        {"name": "payload_json", "value": json.dumps({**request.body, "attachments": [*kept, *described]})}
    ]
    for index, file in enumerate(files):
        part = {"name": f"files[{index}]", "value": file.fp, "filename": file.filename}
        form.append({**part, "content_type": "application/octet-stream"})
    return await http.request(route, files=[*once, *files], form=form, **more)


class _Once:
    """Among the files of a request, which the library rewinds before each attempt: no second one is made."""

    def reset(self, *, seek: int = 0) -> None:
        if seek:
            raise TimeoutError("Discord has a fault, and may have done it")


def _opened(upload: Upload) -> discord.File:
    source = io.BytesIO(upload.source) if isinstance(upload.source, bytes) else upload.source
    return discord.File(source, upload.name[-200:], spoiler=upload.is_spoiler)


def _no_file(status: int) -> NetworkError:
    if status in (403, 404, 410):
        return NotThere("the file is not there any more")
    return Temporary(f"the file does not come: {status}") if status >= 500 or status == 429 else Refused(f"{status}")


def translated(error: Exception, request: Request) -> NetworkError:
    """What the library raised, as core's errors."""
    if isinstance(error, discord.RateLimited):
        return Temporary("Discord wants the bridge to wait", error.retry_after)
    if not isinstance(error, discord.HTTPException):
        return Temporary(f"Discord cannot be reached: {type(error).__name__} {error}")
    if error.status == 429:
        # Without the API's own JSON: Cloudflare's, for the whole address.
        return Temporary("Discord has shut out the bridge's address for a while", 600.0)
    if error.status >= 500:
        return Temporary(f"Discord has a fault ({error.status})")
    return _refused(error, request)


def _refused(error: discord.HTTPException, request: Request) -> NetworkError:
    channel = ChannelId(request.ids.get("channel_id", ""))
    if error.code == UNKNOWN_WEBHOOK:
        return UnknownWebhook("the webhook was deleted")
    if error.status == 401 and "webhook_token" not in request.ids:
        return LoginLost("Discord does not accept the bot's token any more")
    if error.code in (UNKNOWN_CHANNEL, MISSING_ACCESS) and channel:
        return ChannelGone(channel)
    if error.code in _GONE:
        return NotThere(error.text or "it is not there any more")
    if error.status == 413 or error.code == TOO_LARGE:
        return FileTooLarge(_DEFAULT_FILE_BYTES)
    if error.code == CANNOT_MESSAGE:
        return Refused("this person takes no direct messages from the bot")
    if error.status == 403:
        return MissingPermission(request.needs or error.text or "unknown")
    return Refused(f"Discord refused: {error.text or error.status}")


_DEFAULT_FILE_BYTES = 10 * 1024 * 1024
