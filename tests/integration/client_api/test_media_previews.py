"""Previews of links, of pages that a web server beside us serves."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred

from homeserver.services.media.previews import Previews
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply, redirect
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer
from tests.support.homeserver import Client
from tests.support.http import Response
from tests.unit.media.made_images import encoded, picture, png_bomb

PATH = "/_matrix/client/v1/media/preview_url"
ON = "url_preview_enabled: true\nurl_preview_ip_range_blacklist: []\n"
IMAGE = encoded(picture(30, 20), "PNG")


def _page(body: str) -> Reply:
    return Reply(200, f"<html><head>{body}</head></html>", "text/html; charset=utf-8")


@define(eq=False)
class Web:
    """Pages. `asked` are the paths in order."""

    base: str = ""
    asked: list[str] = field(factory=list)

    @route("GET", "/{name}", access=Access.PUBLIC)
    async def get(self, call: Call, name: str) -> Answer:
        self.asked.append(name)
        title = '<meta property="og:title" content="A page">'
        pages: dict[str, Reply] = {
            "page": _page(title + '<meta property="og:image" content="/image.png">'),
            "bomb-page": _page(title + '<meta property="og:image" content="/bomb.png">'),
            "lost-page": _page(
                title + '<meta property="og:image" content="/none"><meta name="og:image:width" content="9">'
            ),
            "image.png": Reply(200, IMAGE, "image/png"),
            "bomb.png": Reply(200, png_bomb(), "image/png"),
            "json": Reply(200, b'{"a": 1}', "application/json"),
            "moved": redirect(f"{self.base}/page"),
            "large": Reply(200, b"x" * 300_000, "text/html"),
            "to-blocked": redirect(f"{self.base}/blocked"),
        }
        return pages.get(name) or Reply(404)


@pytest_twisted.async_yield_fixture
async def web() -> AsyncIterator[Web]:
    web, router = Web(), Router()
    router.add(web)
    server = HttpServer(router=router, reactor=reactor, on_thread=maybeDeferred)  # type: ignore[arg-type]
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]
    web.base = f"http://127.0.0.1:{port.getHost().port}"
    yield web
    await port.stopListening()
    await server.drain(0)


async def preview(user: Client, url: str) -> Response:
    return await user.ask("GET", f"{PATH}?url={quote(url, safe='')}")


async def test_a_page_is_previewed_with_its_image(start_homeserver: Any, web: Web) -> None:
    hs = await start_homeserver(ON)
    alice = await hs.register("alice")
    found = (await preview(alice, f"{web.base}/moved#part")).json
    uri = found.pop("og:image")
    assert found == {
        "og:title": "A page", "og:image:type": "image/png", "og:image:width": 30, "og:image:height": 20,
        "matrix:image:size": len(IMAGE),
    }  # fmt: skip
    image = await alice.ask("GET", f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}")
    assert image.body == IMAGE
    again = await alice.ask("GET", f"/_matrix/media/r0/preview_url?url={quote(web.base)}%2Fmoved&ts=1")
    assert again.json["og:image"] == uri
    restarted = await start_homeserver(ON)
    assert (await preview(alice.at(restarted), f"{web.base}/moved")).json["og:image"] == uri
    assert web.asked == ["moved", "page", "image.png"]
    await close(hs, restarted)


async def test_what_cannot_be_shown_is_left_out(start_homeserver: Any, web: Web) -> None:
    hs = await start_homeserver(ON)
    alice = await hs.register("alice")
    for name in ("bomb-page", "lost-page"):
        assert (await preview(alice, f"{web.base}/{name}")).json == {"og:title": "A page"}
    assert (await preview(alice, f"{web.base}/json")).json == {}
    image = (await preview(alice, f"{web.base}/image.png")).json
    assert (image["og:description"], image["og:image:width"]) == ("image.png", 30)
    await close(hs)


async def test_a_page_that_cannot_be_had_is_not_asked_again_at_once(start_homeserver: Any, web: Web) -> None:
    hs = await start_homeserver(ON + "max_spider_size: 100K")
    alice = await hs.register("alice")
    for name in ("none", "large", "none"):
        response = await preview(alice, f"{web.base}/{name}")
        assert (response.status, response.errcode) == (502, "M_UNKNOWN")
    assert web.asked == ["none", "large"]
    for url in ("nonsense", "ftp://a.test/", "http://", "http://[", "http://a:99999/", "javascript:alert(1)"):
        assert (await preview(alice, url)).errcode == "M_INVALID_PARAM"
    assert (await alice.ask("GET", PATH)).errcode == "M_MISSING_PARAM"
    await close(hs)


async def test_the_server_is_not_sent_where_it_must_not_go(start_homeserver: Any, web: Web) -> None:
    blocked = "url_preview_url_blacklist: [{path: /blocked}]\n"
    guarded = await start_homeserver("url_preview_enabled: true\n")
    listed = await start_homeserver(ON + blocked)
    alice = await guarded.register("alice")
    assert (await preview(alice, f"{web.base}/page")).status == 502
    assert web.asked == []
    alice = alice.at(listed)
    assert (await preview(alice, f"{web.base}/blocked")).status == 403
    assert (await preview(alice, f"{web.base}/to-blocked")).status in (403, 502)
    await close(guarded, listed)


async def test_previews_are_off_unless_they_are_switched_on(start_homeserver: Any) -> None:
    hs = await start_homeserver("")
    alice = await hs.register("alice")
    response = await preview(alice, "https://a.test/")
    assert (response.status, response.errcode) == (404, "M_UNRECOGNIZED")


async def close(*servers: Any) -> None:
    """Closes the connections that are kept for the next page."""
    for hs in servers:
        for api in hs.server._apis.client:
            previews = getattr(api, "_previews", None)
            if isinstance(previews, Previews):
                await previews.close()
