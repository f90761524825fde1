"""The fake as a server: REST and gateway and CDN on one port, in a thread with a loop of its own.

    with FakeDiscord.running() as discord:
        guild = discord.guild("Wonderland", owner)
        ...

Everything that a test calls is done in the loop's thread (`do`), so that nothing happens in between.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import unquote

from aiohttp import web
from attrs import define, field

from tests.support.fake_discord import errors, routes_guilds, routes_messages, routes_webhooks
from tests.support.fake_discord.call import ROUTES, Call, Route, read_body
from tests.support.fake_discord.errors import Refused
from tests.support.fake_discord.gateway import Gateway
from tests.support.fake_discord.limits import Limits
from tests.support.fake_discord.posts import Posts
from tests.support.fake_discord.world import Bot, World

Json = dict[str, Any]
T = TypeVar("T")
API = "/api/v10"
# Where the routes are declared.
CHAPTERS = (routes_guilds, routes_messages, routes_webhooks)
MAX_BODY = 600 * 1024 * 1024


@define(eq=False)
class Asked:
    """What came in, for tests that count."""

    method: str
    route: str
    status: int


@define(eq=False)
class Server:
    """The web application. `fail_next` are (route, status, text) that answer before anything else is looked at."""

    world: World = field(factory=World)
    limits: Limits = field(factory=Limits)
    posts: Posts = field(init=False)
    gateway: Gateway = field(init=False)
    fail_next: list[tuple[str, int, str]] = field(factory=list)
    asked: list[Asked] = field(factory=list)
    # Routes of which the next answer is a 502, though it was done.
    fail_after: list[str] = field(factory=list)
    # Routes whose answers do not go out before `released`: what was asked for is done.
    held: set[str] = field(factory=set)
    released: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.posts = Posts(self.world)
        self.gateway = Gateway(self.world)
        self.world.tell = self.gateway.tell

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/gateway", self.gateway.connect)
        app.router.add_get("/gateway/", self.gateway.connect)
        # What says more comes first: /users/@me before /users/{user}.
        for method, path, function in sorted(ROUTES, key=lambda each: (each[1].count("{"), -len(each[1]))):
            app.router.add_route(method, API + path, self._answer(method, path, function))
        app.router.add_get("/cdn/{path:.*}", self._cdn)
        app.router.add_route("*", API + "/{path:.*}", self._nothing)
        return app

    async def _nothing(self, request: web.Request) -> web.Response:
        self.asked.append(Asked(request.method, request.path, 404))
        return _json(404, {"message": "404: Not Found", "code": 0})

    def _answer(self, method: str, path: str, function: Route) -> Callable[[web.Request], Any]:
        name = f"{method} {path}"

        async def answer(request: web.Request) -> web.Response:
            response = await self._respond(name, function, request)
            if name in self.fail_after:
                self.fail_after.remove(name)
                response = web.Response(status=502, text="upstream error", headers={"Via": "1.1 google"})
            if name in self.held:
                await self.released.wait()
            self.asked.append(Asked(method, path, response.status))
            if response.status in (401, 403) or (response.status == 429 and "Via" in response.headers):
                self.limits.count_invalid()
            return response

        return answer

    async def _respond(self, name: str, function: Route, request: web.Request) -> web.Response:
        if self.limits.banned:
            # Cloudflare speaks here, and neither JSON nor Via.
            return web.Response(status=429, text="error code: 1015", headers={"Retry-After": "600"})
        failure = next((each for each in self.fail_next if each[0] == name), None)
        if failure is not None:
            self.fail_next.remove(failure)
            return web.Response(status=failure[1], text=failure[2], headers={"Via": "1.1 google"})
        info = request.match_info
        major = "+".join(info.get(each, "") for each in ("channel", "guild", "webhook", "token"))
        is_hook = "{webhook}" in name or "{interaction}" in name
        verdict = self.limits.ask(name, major, counts_globally=not is_hook)
        if not verdict.allowed:
            text = {"message": "You are being rate limited.", "retry_after": verdict.retry_after_s}
            headers = {**verdict.headers, "Retry-After": f"{verdict.retry_after_s:.0f}"}
            return _json(429, {**text, "global": verdict.is_global}, headers)
        try:
            answer = await self._call(function, request)
        except Refused as refused:
            return _json(refused.status, refused.json, verdict.headers)
        if answer is None:
            return web.Response(status=204, headers={"Via": "1.1 google", **verdict.headers})
        return _json(200, answer, verdict.headers)

    async def _call(self, function: Route, request: web.Request) -> Any:
        bot = self._bot(request)
        body, files = await read_body(request)
        reason = unquote(request.headers.get("X-Audit-Log-Reason", "")) or None
        call = Call(self.world, self.posts, self.gateway, request.match_info, request.query, body, files, bot, reason)
        return function(call)

    def _bot(self, request: web.Request) -> Bot | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        bot = self.world.bots.get(header.removeprefix("Bot "))
        if bot is None or bot.revoked or not header.startswith("Bot "):
            raise Refused(*errors.UNAUTHORIZED)
        return bot

    async def _cdn(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        self.asked.append(Asked("GET", "/cdn" + path, 200))
        if path not in self.world.files:
            return web.Response(status=404, text="not found")
        if path.startswith("/attachments/") and (not request.query.get("hm") or path in self.world.expired):
            return web.Response(status=404, text="This content is no longer available.")
        data, mimetype = self.world.files[path]
        return web.Response(body=data, content_type=mimetype)


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(body)
    # Exactly this content type, without a charset: the library compares it.
    sent = {"Content-Type": "application/json", "Via": "1.1 google", **(headers or {})}
    return web.Response(status=status, body=text.encode(), headers=sent)


class ServerThread:
    """A Server on a port of 127.0.0.1, until `stop`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.url = ""
        self._started: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="fake-discord", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.url = self._started.result(10)
        self.server.world.cdn = f"{self.url}/cdn"
        self.server.gateway.url = f"{self.url.replace('http', 'ws', 1)}/gateway"

    def do(self, function: Callable[[], T]) -> T:
        """Runs a function in the loop's thread and gives what it gives."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001 - handed over to the caller's thread
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        runner = self.loop.run_until_complete(self._serve())
        self.loop.run_forever()
        self.loop.run_until_complete(runner.cleanup())
        self.loop.close()

    async def _serve(self) -> web.AppRunner:
        # Sockets that are open when it stops are cut, not waited for.
        runner = web.AppRunner(self.server.application(), shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self._started.set_result(f"http://127.0.0.1:{port}")
        return runner


@contextmanager
def running(limit_scale: float = 1.0) -> Iterator[ServerThread]:
    thread = ServerThread(Server(limits=Limits(limit_scale)))
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()
