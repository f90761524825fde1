"""What a service is asked, and how: over a real HTTP server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import Clock as FakeTime

from appservice import asking
from appservice.asking import LEGACY_S, UNKNOWN_S
from appservice.client import AppserviceClient
from appservice.errors import BadAnswer, Refused, TimedOut, Unreachable
from homeserver.runtime.clock import Clock
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import OutgoingHttp
from tests.support.appservice import UNRECOGNIZED, Asked, FakeService, fake_service

OK = (200, {})
PAGE = (404, b"<html>Cannot GET</html>")


@frozen
class Registered:
    url: str | None
    id: str = "irc"
    hs_token: str = "hs secret"


class Services:
    """Opens services; all are closed with the test. `time` is what is remembered by."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.http = OutgoingHttp(reactor=reactor, rules=AddressRules(()))  # type: ignore[arg-type]
        self.open: list[Any] = []

    def add(self, answer: Callable[[Asked], Any]) -> tuple[FakeService, Registered]:
        context = fake_service(answer)
        service = context.__enter__()
        self.open.append(context)
        return service, Registered(service.url)

    def client(self, *, sends_query_token: bool = False) -> AppserviceClient:
        return AppserviceClient(http=self.http, clock=Clock(self.time), sends_query_token=sends_query_token)


@pytest.fixture
def services() -> Iterator[Services]:
    found = Services()
    yield found
    pytest_twisted.blockon(Deferred.fromCoroutine(found.http.close()))
    for context in found.open:
        context.__exit__(None, None, None)


@pytest_twisted.ensureDeferred
async def test_a_transaction_is_put_with_the_token(services: Services) -> None:
    service, registered = services.add(lambda asked: OK)
    await services.client().send_transaction(registered, "a/1", b'{"events":[]}')
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("PUT", "/_matrix/app/v1/transactions/a%2F1")
    assert asked.authorization == "Bearer hs secret"
    assert asked.query == {}
    assert asked.json == {"events": []}


@pytest_twisted.ensureDeferred
async def test_the_token_is_in_the_query_too_if_the_operator_says_so(services: Services) -> None:
    service, registered = services.add(lambda asked: OK)
    await services.client(sends_query_token=True).query_user(registered, "@irc_bob:a")
    assert service.asked[0].query == {"access_token": "hs secret"}
    assert service.asked[0].authorization == "Bearer hs secret"


@pytest.mark.parametrize("name", ["@irc_bob:a", "@irc_a/b=2e%2Fc:a", "@irc_é?#:a", "@irc_ [x]+&:a"])
@pytest_twisted.ensureDeferred
async def test_names_come_through_unchanged(services: Services, name: str) -> None:
    service, registered = services.add(lambda asked: OK)
    assert await services.client().query_user(registered, name)
    assert service.asked[0].segments == ["_matrix", "app", "v1", "users", name]


@pytest_twisted.ensureDeferred
async def test_a_url_may_have_a_path_and_end_with_a_slash(services: Services) -> None:
    service, registered = services.add(lambda asked: OK)
    await services.client().ping(Registered(f"{registered.url}/bridge/"), "a")
    assert service.paths() == ["/bridge/_matrix/app/v1/ping"]


@pytest_twisted.ensureDeferred
async def test_what_the_service_does_not_find_does_not_exist(services: Services) -> None:
    service, registered = services.add(lambda asked: (404, {"errcode": "M_NOT_FOUND"}))
    client = services.client()
    assert not await client.query_user(registered, "@irc_bob:a")
    assert not await client.query_alias(registered, "#irc_x:a")
    assert service.paths() == ["/_matrix/app/v1/users/%40irc_bob%3Aa", "/_matrix/app/v1/rooms/%23irc_x%3Aa"]


@pytest_twisted.ensureDeferred
async def test_another_status_is_a_refusal_with_its_body(services: Services) -> None:
    _, registered = services.add(lambda asked: (403, {"errcode": "M_FORBIDDEN"}))
    with pytest.raises(Refused) as caught:
        await services.client().ping(registered, None)
    assert (caught.value.status, caught.value.body) == (403, '{"errcode":"M_FORBIDDEN"}')


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_not_followed(services: Services) -> None:
    service, registered = services.add(lambda asked: (302, b""))
    with pytest.raises(Refused):
        await services.client().query_user(registered, "@irc_bob:a")
    assert len(service.asked) == 1


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_unreachable(services: Services) -> None:
    with pytest.raises(Unreachable):
        await services.client().ping(Registered("http://127.0.0.1:1"), None)
    with pytest.raises(Unreachable):
        await services.client().ping(Registered(None), None)
    with pytest.raises(Unreachable):
        await services.client().ping(Registered("no url"), None)


@pytest_twisted.ensureDeferred
async def test_too_large_an_answer_is_none(services: Services) -> None:
    _, registered = services.add(lambda asked: (200, b"x" * (5 << 20)))
    with pytest.raises(Unreachable):
        await services.client().locations_of_alias(registered, "#irc_x:a")


@pytest_twisted.ensureDeferred
async def test_too_slow_an_answer_is_none(services: Services) -> None:
    came: Deferred[None] = Deferred()
    _, registered = services.add(lambda asked: came.callback(None))
    http = OutgoingHttp(reactor=_Slow(services.time), rules=AddressRules(()))  # type: ignore[arg-type]
    client = AppserviceClient(http=http, clock=Clock(services.time))
    asking = Deferred.fromCoroutine(client.ping(registered, None))
    await came
    services.time.advance(31)
    with pytest.raises(TimedOut):
        await asking
    await http.close()


class _Slow:
    """The reactor's network, and time that is moved by hand."""

    def __init__(self, time: FakeTime) -> None:
        self.callLater = time.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


@pytest.mark.parametrize("unknown", [UNRECOGNIZED, (405, {"errcode": "M_UNRECOGNIZED"}), PAGE, (404, b""), (501, b"")])
@pytest_twisted.ensureDeferred
async def test_an_older_service_is_asked_at_its_own_path(services: Services, unknown: Any) -> None:
    service, registered = services.add(lambda asked: unknown if asked.path.startswith("/_matrix") else OK)
    client = services.client()
    await client.send_transaction(registered, "1", b"{}")
    await client.send_transaction(registered, "2", b"{}")
    assert service.paths() == ["/_matrix/app/v1/transactions/1", "/transactions/1", "/transactions/2"]
    services.time.advance(LEGACY_S + 1)
    await client.send_transaction(registered, "3", b"{}")
    assert service.paths()[3:] == ["/_matrix/app/v1/transactions/3", "/transactions/3"]


@pytest_twisted.ensureDeferred
async def test_a_service_that_was_renewed_is_asked_at_the_specified_path(services: Services) -> None:
    is_old = True
    service, registered = services.add(lambda asked: UNRECOGNIZED if asked.path.startswith("/_m") == is_old else OK)
    client = services.client()
    await client.query_user(registered, "@a:a")
    is_old = False
    assert await client.query_user(registered, "@b:a")
    assert await client.query_user(registered, "@c:a")
    assert service.paths()[-1] == "/_matrix/app/v1/users/%40c%3Aa"


@pytest_twisted.ensureDeferred
async def test_a_service_that_is_in_trouble_is_asked_once(services: Services) -> None:
    service, registered = services.add(lambda asked: (500, b""))
    with pytest.raises(Refused):
        await services.client().send_transaction(registered, "1", b"{}")
    assert len(service.asked) == 1


@pytest_twisted.ensureDeferred
async def test_a_service_is_not_asked_everything_at_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKED_AT_ONCE", 2)
    monkeypatch.setattr(asking, "MAX_WAITING", 1)
    go, came = Deferred[None](), DeferredQueue()

    async def answer(asked: Asked) -> Any:
        came.put(asked)
        if asked.method == "GET":
            await go
        return OK

    service, registered = services.add(answer)
    client = services.client()
    under_way = [Deferred.fromCoroutine(client.query_user(registered, f"@{name}:a")) for name in "abc"]
    await came.get()
    await came.get()
    with pytest.raises(TimedOut):
        await client.query_user(registered, "@d:a")
    # What the service itself waits for is not kept waiting.
    await client.send_transaction(registered, "1", b"{}")
    assert len(service.asked) == 3
    go.callback(None)
    assert [await each for each in under_way] == [True, True, True]


@pytest_twisted.ensureDeferred
async def test_third_parties_are_looked_up_by_fields(services: Services) -> None:
    service, registered = services.add(lambda asked: (200, [{"userid": "@irc_bob:a"}]))
    client = services.client()
    assert await client.find_third_parties(registered, "user", "irc", {"nick": ["bob & co"]}) == [
        {"userid": "@irc_bob:a"}
    ]
    await client.locations_of_alias(registered, "#irc_x:a")
    await client.third_parties_of_user(registered, "@irc_bob:a")
    assert [(asked.path, asked.query) for asked in service.asked] == [
        ("/_matrix/app/v1/thirdparty/user/irc", {"nick": "bob & co"}),
        ("/_matrix/app/v1/thirdparty/location", {"alias": "#irc_x:a"}),
        ("/_matrix/app/v1/thirdparty/user", {"userid": "@irc_bob:a"}),
    ]


@pytest_twisted.ensureDeferred
async def test_what_is_not_found_is_nothing(services: Services) -> None:
    _, registered = services.add(lambda asked: (404, {"errcode": "NO_MAPPING_FOUND"}))
    assert await services.client().locations_of_alias(registered, "#irc_x:a") == []


@pytest_twisted.ensureDeferred
async def test_older_services_look_third_parties_up_at_an_unstable_path(services: Services) -> None:
    service, registered = services.add(lambda asked: (200, {}) if "unstable" in asked.path else UNRECOGNIZED)
    assert await services.client().third_party_protocol(registered, "irc") == {}
    assert service.paths()[1] == "/_matrix/app/unstable/thirdparty/protocol/irc"


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"[" * 600 + b"]" * 600])
@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_no_object_is_bad(services: Services, body: bytes) -> None:
    _, registered = services.add(lambda asked: (200, body))
    with pytest.raises(BadAnswer):
        await services.client().third_party_protocol(registered, "irc")


@pytest_twisted.ensureDeferred
async def test_keys_are_claimed_and_queried(services: Services) -> None:
    service, registered = services.add(lambda asked: (200, {"@irc_bob:a": {}}))
    client = services.client(sends_query_token=True)
    wanted = {"@irc_bob:a": {"D": ["signed_curve25519"]}}
    assert await client.claim_keys(registered, wanted) == {"@irc_bob:a": {}}
    assert await client.query_keys(registered, {"@irc_bob:a": []}) == {"@irc_bob:a": {}}
    assert [(asked.method, asked.path, asked.json) for asked in service.asked] == [
        ("POST", "/_matrix/app/unstable/org.matrix.msc3983/keys/claim", wanted),
        ("POST", "/_matrix/app/unstable/org.matrix.msc3984/keys/query", {"@irc_bob:a": []}),
    ]


@pytest_twisted.ensureDeferred
async def test_a_service_that_knows_no_keys_is_not_asked_again_for_a_minute(services: Services) -> None:
    service, registered = services.add(lambda asked: UNRECOGNIZED)
    client = services.client()
    assert await client.query_keys(registered, {}) is None
    assert await client.query_keys(registered, {}) is None
    assert len(service.asked) == 1
    services.time.advance(UNKNOWN_S + 1)
    assert await client.query_keys(registered, {}) is None
    assert len(service.asked) == 2
