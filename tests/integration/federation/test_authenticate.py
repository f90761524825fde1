"""Which server asks: good and forged signatures of requests."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, Body, Router, route
from matrix.ids import ServerName
from matrix.signing import SigningKey
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Homeserver
from tests.support.http import MemoryClient, Response

ONE, EVIL = ServerName("one.test"), ServerName("evil.test")
PATH = "/_matrix/federation/v1/probe/%21room%3Aone.test?a=b"
BODY = {"content": [1, {"ä": "ö"}]}


class Probe:
    """Says who asks."""

    @route("PUT", "/_matrix/federation/v1/probe/{name}", access=Access.SERVER)
    @route("GET", "/_matrix/federation/v1/probe/{name}", access=Access.SERVER, body=Body.NONE)
    async def probe(self, call: Call, name: str) -> Answer:
        return {"origin": call.origin}


class Ask:
    """Asks the probe of a server."""

    def __init__(self, homeserver: Homeserver) -> None:
        router = Router()
        router.add(Probe(), authenticate=homeserver.server.federation.authenticator)
        self._http = MemoryClient(router, reactor=reactor)

    async def __call__(
        self, authorization: str | None, method: str = "PUT", body: Any = BODY, path: str = PATH
    ) -> Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        return await self._http.request(method, path, json=body, headers=headers)


async def test_a_signed_request_is_its_origins(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    response = await ask(evil.authorization(ONE, "PUT", PATH, BODY))
    assert (response.status, response.json) == (200, {"origin": EVIL})
    response = await ask(evil.authorization(ONE, "GET", PATH), "GET", None)
    assert response.json == {"origin": EVIL}


async def test_a_key_is_fetched_once(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    for _ in range(3):
        assert (await ask(evil.authorization(ONE, "PUT", PATH, BODY))).status == 200
    assert len(network.sent("/_matrix/key/v2/")) == 1


FORGERIES: dict[str, Callable[[FakeServer], str | None]] = {
    "no header": lambda evil: None,
    "an access token": lambda evil: "Bearer abc",
    "for another server": lambda evil: evil.authorization("two.test", "PUT", PATH, BODY),
    "replayed": lambda evil: evil.authorization("two.test", "PUT", PATH, BODY).replace("two.test", ONE),
    "another method": lambda evil: evil.authorization(ONE, "POST", PATH, BODY),
    "another query": lambda evil: evil.authorization(ONE, "PUT", PATH + "c", BODY),
    "another body": lambda evil: evil.authorization(ONE, "PUT", PATH, {"content": [2]}),
    "no body": lambda evil: evil.authorization(ONE, "PUT", PATH, None),
    "unreachable": lambda evil: evil.authorization(ONE, "PUT", PATH, BODY).replace("evil", "gone"),
    "ourselves": lambda evil: evil.authorization(ONE, "PUT", PATH, BODY).replace("evil.test", ONE),
    "no such key": lambda evil: evil.authorization(ONE, "PUT", PATH, BODY).replace(":fake", ":other"),
    "half a signature": lambda evil: evil.authorization(ONE, "PUT", PATH, BODY)[:-9] + '"',
    "two signatures": lambda evil: evil.authorization(ONE, "PUT", PATH, BODY) + ',sig="AB"',
}


async def test_a_forged_request_is_refused(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    for name, forge in FORGERIES.items():
        response = await ask(forge(evil))
        assert (response.status, response.errcode) == (401, "M_UNAUTHORIZED"), name


async def test_a_body_that_is_no_json_was_not_signed(network: Network) -> None:
    homeserver, evil = await network.start(ONE), FakeServer(network, EVIL)
    router = Router()
    router.add(Probe(), authenticate=homeserver.server.federation.authenticator)
    headers = {"Authorization": evil.authorization(ONE, "PUT", PATH, {})}
    response = await MemoryClient(router, reactor=reactor).request("PUT", PATH, body=b"{", headers=headers)
    assert (response.status, response.errcode) == (401, "M_UNAUTHORIZED")


async def test_a_key_that_is_valid_no_more_signs_nothing(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    evil.valid_until_ms = 1_600_000_000_000
    assert (await ask(evil.authorization(ONE, "PUT", PATH, BODY))).status == 401


async def test_a_rotated_key_is_learnt_at_once(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    await ask(evil.authorization(ONE, "PUT", PATH, BODY))
    evil.key = SigningKey.from_seed("new", b"n" * 32)
    assert (await ask(evil.authorization(ONE, "PUT", PATH, BODY))).status == 200


async def test_made_up_key_ids_do_not_make_us_ask_for_ever(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    for number in range(30):
        await ask(evil.authorization(ONE, "PUT", PATH, BODY).replace(":fake", f":made_up{number}"))
    assert len(network.sent("/_matrix/key/v2/")) <= 6


async def test_made_up_servers_are_asked_once(network: Network) -> None:
    ask, evil = Ask(await network.start(ONE)), FakeServer(network, EVIL)
    for _ in range(5):
        await ask(evil.authorization(ONE, "PUT", PATH, BODY).replace("evil", "gone"))
    assert len(network.sent("/_matrix/key/v2/", destination="gone.test")) == 1


async def test_an_address_cannot_make_up_servers_for_ever(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    ask, good = Ask(one), evil.authorization(ONE, "PUT", PATH, BODY)
    # As it is, but that no machine is so slow that it refills meanwhile.
    one.server.federation.authenticator._strangers = RateLimit(0, 20, one.core.clock)
    assert (await ask(good)).status == 200
    statuses = [(await ask(good.replace("evil", f"gone{number}"))).status for number in range(30)]
    assert statuses == [401] * 19 + [429] * 11
    # Whose key is known is not held up by that.
    assert (await ask(good)).status == 200


async def test_only_servers_on_the_list_may_ask(network: Network) -> None:
    homeserver = await network.start(ONE, "federation_domain_whitelist: [good.test]\n")
    ask, evil, good = Ask(homeserver), FakeServer(network, EVIL), FakeServer(network, "good.test")
    response = await ask(evil.authorization(ONE, "PUT", PATH, BODY))
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert (await ask(good.authorization(ONE, "PUT", PATH, BODY))).status == 200
    assert not network.sent(destination=EVIL)


async def test_who_speaks_to_us_is_left_alone_no_more(network: Network) -> None:
    homeserver, evil = await network.start(ONE), FakeServer(network, EVIL)
    destinations = homeserver.server.federation.destinations
    heard: Deferred[ServerName] = Deferred()
    destinations.on_up(heard.callback)
    destinations.failed(EVIL, homeserver.core.clock.now_ms())
    assert destinations.retry_at_ms(EVIL) is not None
    assert (await Ask(homeserver)(evil.authorization(ONE, "PUT", PATH, BODY))).status == 200
    assert destinations.retry_at_ms(EVIL) is None
    await heard
    assert destinations.retry_at_ms(EVIL) is None
