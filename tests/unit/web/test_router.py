"""Routes, access, path parameters and errors."""

import pytest

from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, Router, client, route
from tests.support.http import MemoryClient, response_of
from tests.unit.web.api import Api, authenticate, router_of


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def web(api: Api) -> MemoryClient:
    return MemoryClient(router_of(api))


def test_client_gives_the_aliases_of_a_path() -> None:
    stable = ("/_matrix/client/v3/x", "/_matrix/client/r0/x")
    assert client("/x") == stable
    assert client("/x", unstable="org.matrix.msc1") == (*stable, "/_matrix/client/unstable/org.matrix.msc1/x")


@pytest.mark.parametrize("path", ["/hello", "/_matrix/client/v3/hello", "/_matrix/client/r0/hello", "/%68ello"])
def test_a_route_is_found_by_each_of_its_paths(web: MemoryClient, path: str) -> None:
    assert response_of(web.request("GET", path)).json == {"hello": "world"}


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/hello/", "//hello", "/hello/more", "/rooms//state/a/b", "/rooms/!a:b"]
)
def test_an_unknown_path_is_404(web: MemoryClient, path: str) -> None:
    response = response_of(web.request("GET", path))
    assert (response.status, response.errcode) == (404, "M_UNRECOGNIZED")


@pytest.mark.parametrize("path", ["/hello", "/rooms/!a:b/state/x/y", "/files/a"])
def test_a_known_path_with_another_method_is_405(web: MemoryClient, path: str) -> None:
    response = response_of(web.request("DELETE", path))
    assert (response.status, response.errcode) == (405, "M_UNRECOGNIZED")


@pytest.mark.parametrize("path", ["/me", "/hello", "/nope"])
def test_options_runs_nothing_and_needs_no_token(web: MemoryClient, api: Api, path: str) -> None:
    response = response_of(web.request("OPTIONS", path))
    assert (response.status, response.body) == (204, b"")
    assert "DELETE" in response.headers["access-control-allow-methods"]
    assert api.seen == []


@pytest.mark.parametrize("path", ["/hello", "/me", "/nope", "/bug", "/limited", "/file", "/numbers/x"])
def test_every_answer_carries_the_cors_headers(web: MemoryClient, path: str) -> None:
    headers = response_of(web.request("GET", path)).headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-headers"] == "X-Requested-With, Content-Type, Authorization, Date"


def test_head_is_answered_like_get_without_the_body(web: MemoryClient) -> None:
    response = response_of(web.request("HEAD", "/hello"))
    assert (response.status, response.headers["content-length"], response.body) == (200, "17", b"")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/rooms/!a:b/state/m.topic/key", {"room_id": "!a:b", "event_type": "m.topic", "state_key": "key"}),
        ("/rooms/!a:b/state/m.topic/", {"room_id": "!a:b", "event_type": "m.topic", "state_key": ""}),
        ("/rooms/%21a%3Ab/state/m%2Fx/k%20+", {"room_id": "!a:b", "event_type": "m/x", "state_key": "k +"}),
        ("/rooms/!a:b/state/m.room.create/fixed", {"fixed": "!a:b"}),
        ("/rooms/!a:b/state/m.room.create/k", {"room_id": "!a:b", "event_type": "m.room.create", "state_key": "k"}),
        ("/rooms/!a:b/state/%C3%A9/%zz", {"room_id": "!a:b", "event_type": "é", "state_key": "%zz"}),
        ("/alias/%23a%2Fb:c", {"alias": "#a/b:c"}),
        ("/numbers/-12", {"number": -12}),
        ("/files/a/b/c", {"path": "a/b/c"}),
        ("/files/", {"path": ""}),
    ],
)
def test_path_parameters_are_decoded_and_parsed(web: MemoryClient, path: str, expected: object) -> None:
    assert response_of(web.request("GET", path)).json == expected


@pytest.mark.parametrize(
    "path", ["/alias/@a:b", "/rooms/nope/state/a/b", "/numbers/seven", "/numbers/%D9%A3", "/numbers/1e3"]
)
def test_a_parameter_of_another_kind_is_invalid(web: MemoryClient, path: str) -> None:
    response = response_of(web.request("GET", path))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


def test_a_token_is_asked_for_before_the_path_is_judged() -> None:
    class Rooms:
        @route("GET", "/numbers/{number}")
        async def get(self, call: Call, number: int) -> Answer:
            return {}

    router = Router(authenticate=authenticate)
    router.add(Rooms())
    assert response_of(MemoryClient(router).request("GET", "/numbers/x")).errcode == "M_MISSING_TOKEN"


def test_a_route_of_users_gets_its_requester(web: MemoryClient) -> None:
    assert response_of(web.request("GET", "/me")).errcode == "M_MISSING_TOKEN"
    assert response_of(web.request("GET", "/me", token="mallory")).errcode == "M_UNKNOWN_TOKEN"
    assert response_of(web.request("GET", "/me", token="alice")).json == {"user_id": "@alice:hearth.test"}
    assert response_of(web.request("GET", "/me?access_token=alice")).json == {"user_id": "@alice:hearth.test"}


def test_an_api_may_have_an_authenticator_of_its_own() -> None:
    asked: list[Access] = []

    async def for_servers(call: Call, access: Access) -> None:
        asked.append(access)

    class Federation:
        @route("GET", "/version", access=Access.SERVER)
        async def get(self, call: Call) -> Answer:
            return {}

    router = Router(authenticate=authenticate)
    router.add(Federation(), authenticate=for_servers)
    assert response_of(MemoryClient(router).request("GET", "/version")).status == 200
    assert asked == [Access.SERVER]


def test_an_error_says_when_to_come_again(web: MemoryClient) -> None:
    response = response_of(web.request("GET", "/limited"))
    assert (response.status, response.headers["retry-after"]) == (429, "2")
    assert response.json == {"errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests", "retry_after_ms": 1500}


def test_a_bug_is_a_500_without_detail(web: MemoryClient) -> None:
    response = response_of(web.request("GET", "/bug"))
    assert response.status == 500
    assert response.json == {"errcode": "M_UNKNOWN", "error": "Internal server error"}


def test_the_observer_is_told_of_every_answer() -> None:
    seen: list[tuple[str, int]] = []
    times = iter(range(100))
    router = Router(
        authenticate=authenticate,
        observer=lambda call, pattern, status, seconds: seen.append((pattern, status)) if seconds == 1 else None,
        seconds=lambda: next(times),
    )
    router.add(Api())
    web = MemoryClient(router)
    for path in ("/_matrix/client/r0/hello", "/nope", "/numbers/x", "/bug"):
        response_of(web.request("GET", path))
    assert seen == [
        ("/_matrix/client/v3/hello", 200),
        ("(unknown path)", 404),
        ("/numbers/{number}", 400),
        ("/bug", 500),
    ]


class _Twice:
    @route("GET", "/a/{b}", "/a/{c}", access=Access.PUBLIC)
    async def get(self, call: Call, b: str = "", c: str = "") -> Answer:
        return {}


class _Missing:
    @route("GET", "/a", access=Access.PUBLIC)
    async def get(self, call: Call, b: str) -> Answer:
        return {}


class _Unknown:
    @route("GET", "/a/{c}", access=Access.PUBLIC)
    async def get(self, call: Call, b: str = "") -> Answer:
        return {}


class _Unparseable:
    @route("GET", "/a/{b}", access=Access.PUBLIC)
    async def get(self, call: Call, b: bytes) -> Answer:
        return {}


class _GoesOn:
    @route("GET", "/a/{b...}/c", access=Access.PUBLIC)
    async def get(self, call: Call, b: str) -> Answer:
        return {}


class _Private:
    @route("GET", "/a")
    async def get(self, call: Call) -> Answer:
        return {}


@pytest.mark.parametrize("api", [_Twice(), _Missing(), _Unknown(), _Unparseable(), _GoesOn(), _Private()])
def test_a_faulty_route_is_found_at_the_start(api: object) -> None:
    with pytest.raises(ValueError, match=r"/a|read b"):
        Router().add(api)
