"""Outgoing HTTP: guarded addresses, redirects, limits. Over loopback, since the guard sits at the real connect."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, FetchFailed, OutgoingHttp
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply, StreamReply
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer

# Linux answers on all of 127.0.0.0/8: one address that is allowed, the others not.
ALLOWED = "127.0.0.1"
OPEN = AddressRules.parse(allowed=[ALLOWED])


class Site:
    """What the tests ask; `seen` are the requests."""

    def __init__(self) -> None:
        self.seen: list[Call] = []
        self.port = 0

    @route("GET", "/echo", access=Access.PUBLIC)
    async def get_echo(self, call: Call) -> Answer:
        self.seen.append(call)
        return {"hello": "world"}

    @route("POST", "/echo", access=Access.PUBLIC)
    async def post_echo(self, call: Call) -> Answer:
        return {"got": call.raw_json(), "type": call.headers.get("content-type")}

    @route("GET", "/to", access=Access.PUBLIC)
    @route("POST", "/to", access=Access.PUBLIC)
    async def redirect(self, call: Call) -> Answer:
        return Reply(302, headers={"Location": call.query.text("url")})

    @route("GET", "/large", access=Access.PUBLIC)
    async def large(self, call: Call) -> Answer:
        async def generate() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 10_000

        return StreamReply(generate())

    @route("GET", "/never", access=Access.PUBLIC)
    async def never(self, call: Call) -> Answer:
        waiting: Deferred[Answer] = Deferred()
        return await waiting


@pytest.fixture
def site() -> Iterator[Site]:
    router = Router()
    api = Site()
    router.add(api)
    server = HttpServer(router=router, reactor=reactor)
    port = reactor.listenTCP(0, server, interface="0.0.0.0")
    api.port = port.getHost().port
    yield api
    pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(Deferred.fromCoroutine(server.drain(0)))


@pytest.fixture
def http() -> Iterator[OutgoingHttp]:
    outgoing = OutgoingHttp(reactor=reactor, rules=OPEN)
    yield outgoing
    pytest_twisted.blockon(Deferred.fromCoroutine(outgoing.close()))


def url(site: Site, path: str, host: str = ALLOWED) -> str:
    return f"http://{host}:{site.port}{path}"


@pytest_twisted.ensureDeferred
async def test_an_answer_is_read_whole(site: Site, http: OutgoingHttp) -> None:
    fetched = await http.get(url(site, "/echo"), headers={"X-Test": "é".encode().decode("latin-1")})
    assert (fetched.status, fetched.json()) == (200, {"hello": "world"})
    assert fetched.headers["content-type"] == "application/json"
    assert site.seen[0].user_agent == "Hearth"
    assert site.seen[0].headers.get("accept-encoding") is None


@pytest_twisted.ensureDeferred
async def test_json_is_sent(site: Site, http: OutgoingHttp) -> None:
    fetched = await http.send_json("POST", url(site, "/echo"), {"a": ["é"]})
    assert fetched.json() == {"got": {"a": ["é"]}, "type": "application/json"}


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0", "[::1]", "[::ffff:127.0.0.2]", "2130706434", "0x7f000002"])
@pytest_twisted.ensureDeferred
async def test_a_forbidden_address_is_not_connected_to(site: Site, http: OutgoingHttp, host: str) -> None:
    with pytest.raises(FetchFailed):
        await http.get(url(site, "/echo", host))
    assert site.seen == []


@pytest_twisted.ensureDeferred
async def test_a_name_that_resolves_to_a_forbidden_address_is_refused(site: Site) -> None:
    outgoing = OutgoingHttp(reactor=reactor, rules=AddressRules.parse())
    with pytest.raises(FetchFailed, match="not allowed"):
        await outgoing.get(url(site, "/echo", "localhost"))
    assert site.seen == []


@pytest_twisted.ensureDeferred
async def test_a_redirect_to_a_forbidden_address_is_refused(site: Site, http: OutgoingHttp) -> None:
    target = url(site, "/echo", "127.0.0.2")
    with pytest.raises(FetchFailed, match="not allowed"):
        await http.get(url(site, f"/to?url={target}"), bounds=Bounds(max_redirects=3))
    assert site.seen == []


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_followed_only_if_asked_for(site: Site, http: OutgoingHttp) -> None:
    first = url(site, "/to?url=/echo")
    assert (await http.get(first)).status == 302
    fetched = await http.get(first, bounds=Bounds(max_redirects=1))
    assert (fetched.status, fetched.url) == (200, url(site, "/echo"))


@pytest_twisted.ensureDeferred
async def test_a_redirect_to_another_host_takes_no_secrets_along(site: Site) -> None:
    rules = AddressRules.parse(allowed=["127.0.0.0/8"])
    outgoing = OutgoingHttp(reactor=reactor, rules=rules)
    target = url(site, "/echo", "127.0.0.2")
    headers = {"Authorization": "Bearer x", "X-Other": "kept"}
    await outgoing.get(url(site, f"/to?url={target}"), headers=headers, bounds=Bounds(max_redirects=1))
    assert site.seen[0].headers.get("authorization") is None
    assert site.seen[0].headers.get("x-other") == "kept"
    await outgoing.close()


@pytest_twisted.ensureDeferred
async def test_a_ring_of_redirects_ends(site: Site, http: OutgoingHttp) -> None:
    ring = url(site, "/to?url=/to?url=/to%3Furl=/to%253Furl=/to")
    with pytest.raises(FetchFailed, match="too many"):
        await http.get(ring, bounds=Bounds(max_redirects=2))


@pytest_twisted.ensureDeferred
async def test_a_redirect_to_another_scheme_is_refused(site: Site, http: OutgoingHttp) -> None:
    with pytest.raises(FetchFailed, match="not an HTTP URL"):
        await http.get(url(site, "/to?url=file:///etc/passwd"), bounds=Bounds(max_redirects=1))


@pytest_twisted.ensureDeferred
async def test_a_body_is_not_sent_on(site: Site, http: OutgoingHttp) -> None:
    sent = await http.send_json("POST", url(site, "/to?url=/echo"), {}, bounds=Bounds(max_redirects=1))
    assert sent.status == 302


@pytest_twisted.ensureDeferred
async def test_a_large_answer_is_cut_off(site: Site, http: OutgoingHttp) -> None:
    with pytest.raises(FetchFailed, match="larger than 50000 bytes"):
        await http.get(url(site, "/large"), bounds=Bounds(max_bytes=50_000))


@pytest_twisted.ensureDeferred
async def test_a_late_answer_is_not_waited_for(site: Site, http: OutgoingHttp) -> None:
    with pytest.raises(FetchFailed, match=r"no answer in 0\.05 s"):
        await http.get(url(site, "/never"), bounds=Bounds(timeout_s=0.05))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nope",
        "ftp://1.1.1.1/",
        "http://",
        "http://user:pw@1.1.1.1/",
        "http://a b/",
        "http://" + "a" * 9000,
        "http://[::",
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_web_address_is_refused(http: OutgoingHttp, bad: str) -> None:
    with pytest.raises(FetchFailed):
        await http.get(bad)


@pytest_twisted.ensureDeferred
async def test_a_closed_port_is_a_failure(http: OutgoingHttp) -> None:
    with pytest.raises(FetchFailed, match="ConnectionRefused"):
        await http.get(f"http://{ALLOWED}:1/")
