"""One request of the REST API, as its route sees it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from attrs import define

from tests.support.fake_discord import errors
from tests.support.fake_discord.errors import Refused
from tests.support.fake_discord.gateway import Gateway
from tests.support.fake_discord.posts import Posts, Upload
from tests.support.fake_discord.world import Bot, World

Json = dict[str, Any]


@define(eq=False)
class Call:
    world: World
    posts: Posts
    gateway: Gateway
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    files: list[Upload]
    bot: Bot | None
    # For the audit log.
    reason: str | None = None

    @property
    def me(self) -> str:
        """The id of who asks; Raises: Refused without a token."""
        if self.bot is None:
            raise Refused(*errors.UNAUTHORIZED)
        return self.bot.user_id

    def limit(self, otherwise: int, most: int) -> int:
        number = int(self.query.get("limit", otherwise))
        if not 1 <= number <= most:
            raise errors.invalid_form("limit", f"int value should be between 1 and {most}.")
        return number


Route = Callable[[Call], Any]
ROUTES: list[tuple[str, str, Route]] = []


def route(method: str, path: str) -> Callable[[Route], Route]:
    """Declares what answers; {names} of the path stand in `call.path`."""

    def declare(function: Route) -> Route:
        ROUTES.append((method, path, function))
        return function

    return declare


async def read_body(request: web.Request) -> tuple[Json, list[Upload]]:
    """The JSON of a request, and its files when it is multipart (payload_json, files[n])."""
    if request.content_type == "multipart/form-data":
        return await _read_parts(request)
    text = await request.text()
    if not text:
        return {}, []
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, 50109, "The request body contains invalid JSON.") from None
    if not isinstance(body, dict):
        return {"_list": body}, []
    return body, []


async def _read_parts(request: web.Request) -> tuple[Json, list[Upload]]:
    body: Json = {}
    files: list[Upload] = []
    async for part in await request.multipart():
        if part.name == "payload_json":  # type: ignore[union-attr]
            body.update(json.loads(await part.text()))  # type: ignore[union-attr]
        elif part.filename:  # type: ignore[union-attr]
            data = bytes(await part.read(decode=False))  # type: ignore[union-attr]
            files.append(Upload(part.filename, data, part.headers.get("Content-Type", "")))  # type: ignore[union-attr]
        else:
            body[part.name] = await part.text()  # type: ignore[union-attr,index]
    return body, files


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
