"""The fake on HTTP: /api/METHOD, sockets, files, upload addresses and response_urls, as slack.com has them."""

import asyncio
import logging
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.support.fake_slack.audience import Audience
from tests.support.fake_slack.core import Core
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.grants import App, Token
from tests.support.fake_slack.http_push import HttpPush
from tests.support.fake_slack.pictures import png
from tests.support.fake_slack.rtm import Rtm
from tests.support.fake_slack.sockets import Sockets
from tests.support.fake_slack.world import Json

logger = logging.getLogger(__name__)


class Server:
    """Everything runs in one loop; `changed` is called after each answer and each event."""

    def __init__(self, core: Core, changed: Any) -> None:
        self.core = core
        self.sockets = Sockets()
        self.push = HttpPush()
        self.rtm = Rtm(core)
        self.audience = Audience(core)
        self._changed = changed
        # Of other workspaces: Slack's API has one address for all, and knows by the token whose it is.
        self.neighbours: list[Server] = []
        core.deliver = self._deliver
        core.world.listeners.append(lambda event, channel: changed())
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self._link)
        app.router.add_get("/rtm/", self._rtm)
        app.router.add_post("/upload/v1/{file}", self._upload)
        app.router.add_get("/files-pri/{id}/{tail:.*}", self._download)
        app.router.add_get("/avatars/{name}", self._picture)
        app.router.add_get("/emoji/{name}", self._picture)
        app.router.add_post("/actions/{ticket}", self._response_url)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def stop(self) -> None:
        await self.push.stop()
        await self.sockets.stop()
        await self.rtm.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    def _deliver(self, app: App, kind: str, payload: Json) -> None:
        way = self.sockets if app.socket_mode else self.push
        if app.socket_mode or (app.request_url if kind == "events_api" else app.interactivity_url):
            way.deliver(app, kind, payload, double=kind == "events_api" and self.core.faults.takes_double())

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        other = await self._neighbour(request)
        if other is not None:
            return await _forwarded(request, f"{other.core.world.base_url}/api/{method}")
        try:
            return await self._answered(request, method)
        finally:
            self._changed()

    async def _neighbour(self, request: web.Request) -> "Server | None":
        """Whose the request is, if it is not ours."""
        if not self.neighbours:
            return None
        text = _token_text(request, await _args(request))
        return next((each for each in self.neighbours if each.core.has_token(text)), None)

    async def _answered(self, request: web.Request, method: str) -> web.StreamResponse:
        fault = self.core.faults.next_for(method)
        headers = {}
        try:
            args = await _args(request)
            if fault is not None and fault.cut == "before":
                return _cut(request)
            if fault is not None and fault.cut is None:
                error = fault.error or ("ratelimited" if fault.status == 429 else "internal_error")
                raise SlackError(error, status=fault.status, retry_after=fault.retry_after, **fault.fields)
            token = self.core.token(_token_text(request, args), request.cookies.get("d"))
            headers = {"x-oauth-scopes": ",".join(sorted(token.scopes))}
            self.core.calls.append((method, args))
            body = self.core.answer(method, token, args)
        except SlackError as error:
            return _refusal(error, headers)
        if fault is not None and fault.cut == "after":
            return _cut(request)
        return web.json_response(body, headers=headers, dumps=_dumps)

    async def _link(self, request: web.Request) -> web.StreamResponse:
        token = self._ticket(request, "link")
        try:
            return await self.sockets.serve(request, token.app)
        finally:
            self._changed()

    async def _rtm(self, request: web.Request) -> web.StreamResponse:
        return await self.rtm.serve(request, self._ticket(request, "rtm"))

    def _ticket(self, request: web.Request, path: str) -> Token:
        self._changed()
        found = self.core.tickets.pop(request.query.get("ticket", ""), None)
        if found is None or found[0] != path or found[1].revoked:
            raise web.HTTPForbidden
        return found[1]

    async def _upload(self, request: web.Request) -> web.Response:
        file = self.core.uploads.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        if request.content_type == "multipart/form-data":
            data = b""
            async for part in await request.multipart():
                data += await part.read()  # type: ignore[union-attr]
        else:
            data = await request.read()
        if len(data) != file["size"]:
            return web.Response(status=400, text="the length is another")
        self.core.world.contents[file["id"]] = data
        return web.Response(text=f"OK - {len(data)}")

    async def _download(self, request: web.Request) -> web.Response:
        """Whoever has no token with the scope is sent to sign in: a page of HTML, with status 200."""
        file_id = request.match_info["id"].partition("-")[2]
        try:
            token = self.core.token(_token_text(request, {}), request.cookies.get("d"))
        except SlackError:
            return web.Response(text="<!DOCTYPE html><html>Sign in to Slack</html>", content_type="text/html")
        if token.kind != "xoxc" and "files:read" not in token.scopes:
            return web.Response(text="<!DOCTYPE html><html>Sign in to Slack</html>", content_type="text/html")
        content, file = self.core.world.contents.get(file_id), self.core.world.files.get(file_id)
        if content is None or file is None:
            raise web.HTTPNotFound
        return web.Response(body=content, content_type=file["mimetype"])

    async def _picture(self, request: web.Request) -> web.Response:
        return web.Response(body=png(request.match_info["name"]), content_type="image/png")

    async def _response_url(self, request: web.Request) -> web.Response:
        ticket = request.match_info["ticket"]
        if ticket not in self.core.response_urls:
            return web.Response(status=404, text="expired_url")
        self.core.respond(ticket, await request.json())
        return web.Response(text="ok")


async def _forwarded(request: web.Request, url: str) -> web.Response:
    headers = {
        name: request.headers[name] for name in ("Authorization", "Content-Type", "Cookie") if name in request.headers
    }
    async with aiohttp.ClientSession() as session:
        options = {"params": request.query, "data": await request.read(), "headers": headers}
        async with session.request(request.method, url, **options) as answer:
            kept = {name: answer.headers[name] for name in ("x-oauth-scopes", "Retry-After") if name in answer.headers}
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type, headers=kept)


async def _args(request: web.Request) -> Json:
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            given = orjson.loads(await request.read())
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(given, dict):
            raise SlackError("json_not_object")
        return args | given
    if request.method == "POST":
        args |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return args


def _token_text(request: web.Request, args: Json) -> str | None:
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ")
    return str(args.pop("token", "")) or None


def _refusal(error: SlackError, headers: dict[str, str]) -> web.Response:
    if error.status >= 500:
        return web.Response(status=error.status, text="<html>upstream error</html>", content_type="text/html")
    if error.retry_after is not None:
        headers = {**headers, "Retry-After": str(error.retry_after)}
    body = {"ok": False, "error": error.error, **error.fields}
    return web.json_response(body, status=error.status, headers=headers, dumps=_dumps)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


async def serve_forever(core: Core, port: int) -> None:
    server = Server(core, lambda: None)
    await server.start(port)
    await asyncio.Event().wait()
