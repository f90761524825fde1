"""Answers of web servers as they come: at the reader's pace, and no longer than they are wanted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, FetchFailed, OutgoingHttp
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply, StreamReply
from homeserver.web.response_body import BodyBroken
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer

OPEN = AddressRules.parse(allowed=["127.0.0.1"])
LARGE = 3_000_000


class Site:
    """Files, and what is none."""

    @route("GET", "/large", access=Access.PUBLIC)
    async def large(self, call: Call) -> Answer:
        return Reply(200, b"x" * LARGE, "text/plain")

    @route("GET", "/to", access=Access.PUBLIC)
    async def redirect(self, call: Call) -> Answer:
        return Reply(302, b"elsewhere", headers={"Location": call.query.text("url")})

    @route("GET", "/stuck", access=Access.PUBLIC)
    async def stuck(self, call: Call) -> Answer:
        async def generate() -> AsyncIterator[bytes]:
            yield b"x"
            await Deferred()

        return StreamReply(generate())

    @route("GET", "/broken", access=Access.PUBLIC)
    async def broken(self, call: Call) -> Answer:
        async def generate() -> AsyncIterator[bytes]:
            yield b"x"

        return StreamReply(generate(), 10)


@pytest.fixture
def base() -> Iterator[str]:
    """The site's address."""
    router = Router()
    router.add(Site())
    server = HttpServer(router=router, reactor=reactor)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.async_yield_fixture
async def http() -> AsyncIterator[OutgoingHttp]:
    agent = OutgoingHttp(reactor=reactor, rules=OPEN)  # type: ignore[arg-type]
    yield agent
    await agent.close()


async def test_a_large_body_comes_in_pieces(base: str, http: OutgoingHttp) -> None:
    streamed = await http.stream(f"{base}/large")
    assert streamed.status == 200 and streamed.headers["content-type"] == "text/plain"
    sizes = []
    async for chunk in streamed.body:
        # A reader that is slow: the other side has to wait.
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
        await turn
        sizes.append(len(chunk))
    assert sum(sizes) == LARGE and len(sizes) > 1


async def test_who_has_enough_closes(base: str, http: OutgoingHttp) -> None:
    streamed = await http.stream(f"{base}/large")
    await anext(aiter(streamed.body))
    streamed.body.close()
    streamed.body.close()


async def test_a_redirect_is_followed_if_asked_for(base: str, http: OutgoingHttp) -> None:
    url = f"{base}/to?url={base}/large"
    streamed = await http.stream(url)
    assert streamed.status == 302
    streamed.body.close()
    streamed = await http.stream(url, bounds=Bounds(max_redirects=1))
    assert streamed.status == 200
    streamed.body.close()


@pytest.mark.parametrize("target", ["http://127.0.0.2/large", "file:///etc/passwd", "/to?url=/to"])
async def test_a_redirect_to_where_nobody_may_go_is_refused(base: str, http: OutgoingHttp, target: str) -> None:
    with pytest.raises(FetchFailed):
        await http.stream(f"{base}/to?url={target}", bounds=Bounds(max_redirects=1))


@pytest.mark.parametrize("path", ["/stuck", "/broken"])
async def test_a_body_that_does_not_end_is_broken(base: str, http: OutgoingHttp, path: str) -> None:
    streamed: Any = await http.stream(base + path, bounds=Bounds(timeout_s=0.3))
    with pytest.raises(BodyBroken):
        [chunk async for chunk in streamed.body]
    streamed.body.close()
