"""Requests to other servers: what is repeated, what counts as a failure, what an answer may be."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Reactor

from federation.outbound.errors import BadAnswer, Refused, RemoteError, Unreachable
from federation.outbound.slots import MAX_AT_ONCE, MAX_WAITING
from federation.outbound.transport import MAX_ERROR_BYTES, MAX_EVENT_DEPTH, Rules, Terms, Transport
from federation.outbound.wire import WireAnswer, WireRequest
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from matrix.ids import ServerName
from matrix.signing import SigningKey
from matrix.x_matrix import XMatrix
from tests.support.federation import MemoryStream

ONE, TWO = ServerName("one.test"), ServerName("two.test")
Said = WireAnswer | RemoteError | None
GONE = Unreachable(TWO, "gone")


def answer(status: int = 200, body: Any = None, **headers: str) -> WireAnswer:
    """Of headers the names are written with underscores."""
    data = body if isinstance(body, bytes) else orjson.dumps({} if body is None else body)
    return WireAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


class Told:
    """What the transport tells of servers."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.is_backing_off = False

    def check(self, destination: ServerName) -> None:
        if self.is_backing_off:
            raise Unreachable(destination, "backing off")

    def failed(self, destination: ServerName, asked_at_ms: int) -> None:
        self.words.append("failed")

    def answered(self, destination: ServerName) -> None:
        self.words.append("answered")

    def asked_to_wait(self, destination: ServerName, wait_ms: int) -> None:
        self.words.append(f"wait {wait_ms}")


class World:
    """A transport, whose wire says what a test tells it to, one after the other; None takes all the time."""

    def __init__(self, *said: Said, **rules: Any) -> None:
        self.said = list(said)
        self.requests: list[WireRequest] = []
        self.told = Told()
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        self.release: Deferred[None] | None = None
        self.transport = Transport(
            wire=self,
            destinations=self.told,  # type: ignore[arg-type]
            clock=Clock(self.reactor),
            server_name=ONE,
            key=SigningKey.from_seed("a", b"a" * 32),
            rules=Rules(may_talk_to=lambda name: name != "stranger.test", **rules),
            metrics=Metrics(),
        )

    async def send(self, request: WireRequest) -> WireAnswer:
        self.requests.append(request)
        if self.release is not None:
            await self.release
        said = self.said.pop(0)
        if said is None:
            self.reactor.advance(request.timeout_s)
            raise Unreachable(TWO, "no answer")
        if isinstance(said, RemoteError):
            raise said
        return said

    async def stream(self, request: WireRequest) -> MemoryStream:
        said = await self.send(request)
        return MemoryStream(said.status, said.headers, said.body)

    async def close(self) -> None:
        """Nothing is open."""

    def outcome(self, asking: Any) -> Any:
        """The value or the exception, after as much time as it takes."""
        results: list[Any] = []
        Deferred.fromCoroutine(asking).addBoth(results.append)
        for _ in range(100):
            if results:
                break
            self.reactor.advance(1)
        (result,) = results
        return getattr(result, "value", result)


def test_a_request_is_signed_for_its_destination() -> None:
    world = World(answer())
    world.outcome(world.transport.put(TWO, "/_matrix/a%2Fb", {"ä": 1}, [("q", "a b")]))
    (request,) = world.requests
    assert request.target == "/_matrix/a%2Fb?q=a+b"
    assert request.body == '{"ä":1}'.encode()
    header = XMatrix.parse(request.headers["Authorization"])
    assert (header.origin, header.destination) == (ONE, TWO)


def test_who_may_not_be_asked_is_not() -> None:
    world = World()
    for name in (ONE, ServerName("stranger.test")):
        assert isinstance(world.outcome(world.transport.get(name, "/x")), Unreachable)
    world.told.is_backing_off = True
    assert isinstance(world.outcome(world.transport.get(TWO, "/x")), Unreachable)
    assert world.requests == []


@pytest.mark.parametrize("fault", [GONE, answer(502), answer(503), answer(504)])
@pytest.mark.parametrize("method", ["get", "put"])
def test_what_may_be_repeated_is(method: str, fault: Said) -> None:
    world = World(fault, answer(200, {"a": 1}))
    body = [{}] if method == "put" else []
    assert world.outcome(getattr(world.transport, method)(TWO, "/x", *body)) == {"a": 1}
    assert world.told.words == ["answered"]


def test_what_may_not_be_repeated_is_not() -> None:
    world = World(GONE)
    assert world.outcome(world.transport.post(TWO, "/x", {})) is GONE
    world = World(GONE, answer())
    assert world.outcome(world.transport.post(TWO, "/x", {}, terms=Terms(is_repeatable=True))) == {}


def test_after_so_many_times_the_server_counts_as_gone() -> None:
    world = World(GONE, GONE, GONE)
    assert world.outcome(world.transport.get(TWO, "/x", terms=Terms(retries=2))) is GONE
    assert (world.told.words, len(world.requests)) == (["failed"], 3)


def test_the_operator_says_how_often_and_after_which_pauses() -> None:
    world = World(GONE, GONE, GONE, GONE, GONE, retries=4, longest_pause_s=1.5)
    started_s = world.reactor.seconds()
    assert world.outcome(world.transport.get(TWO, "/x")) is GONE
    assert len(world.requests) == 5
    assert 3.5 <= world.reactor.seconds() - started_s <= 4 * 2
    world = World(GONE, GONE, retries=0)
    assert world.outcome(world.transport.get(TWO, "/x")) is GONE
    assert len(world.requests) == 1


def test_time_outs_are_in_proportion_to_the_operators() -> None:
    world = World(None, time_factor=3.0)
    world.outcome(world.transport.get(TWO, "/x", terms=Terms(timeout_s=20.0)))
    assert world.requests[0].timeout_s == 60.0


def test_all_attempts_together_have_the_time_of_one() -> None:
    world = World(None)
    assert isinstance(world.outcome(world.transport.get(TWO, "/x")), Unreachable)
    assert len(world.requests) == 1


def test_who_was_given_no_time_is_not_gone() -> None:
    world = World(None)
    world.outcome(world.transport.get(TWO, "/x", terms=Terms(timeout_s=1.0)))
    assert world.told.words == []
    world = World(GONE)
    world.outcome(world.transport.get(TWO, "/x", terms=Terms(timeout_s=0.5)))
    assert world.told.words == ["failed"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_an_error_is_an_answer(status: int) -> None:
    world = World(answer(status, {"errcode": "M_X", "error": "why"}))
    refused = world.outcome(world.transport.get(TWO, "/x"))
    assert isinstance(refused, Refused)
    assert (refused.status, refused.errcode, refused.message) == (status, "M_X", "why")
    assert world.told.words == ["answered"]


def test_the_proxy_of_a_dead_server_is_no_answer() -> None:
    world = World(answer(502, b"<html>"))
    refused = world.outcome(world.transport.get(TWO, "/x", terms=Terms(retries=0)))
    assert (refused.errcode, refused.is_matrix) == ("M_UNKNOWN", False)
    assert world.told.words == ["failed"]


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        (answer(429, {}, retry_after="5"), "wait 5000"),
        (answer(429, {}, retry_after="Tue, 14 Nov 2023 22:13:30 GMT"), "wait 10000"),
        (answer(429, {"retry_after_ms": 1234}), "wait 1234"),
        (answer(429, {"retry_after_ms": 1234}, retry_after="99999999999999999999"), "wait 1234"),
        (answer(429, {"retry_after_ms": -5}), None),
        (answer(429, {"retry_after_ms": "soon"}), None),
        (answer(429, b"<html>", retry_after="soon"), None),
    ],
)
def test_who_asks_for_patience_gets_it(said: WireAnswer, wait: str | None) -> None:
    world = World(said)
    assert isinstance(world.outcome(world.transport.get(TWO, "/x")), Refused)
    assert world.told.words == ["answered", *([wait] if wait else [])]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 5000, b"[" * 200 + b"]" * 200])
def test_what_is_no_json_is_a_bad_answer(body: bytes) -> None:
    world = World(answer(200, body))
    assert isinstance(world.outcome(world.transport.get(TWO, "/x")), BadAnswer)


def test_events_may_be_nested_more_deeply_than_other_answers() -> None:
    world = World(answer(200, b"[" * 200 + b"]" * 200))
    assert isinstance(world.outcome(world.transport.get(TWO, "/x", terms=Terms(max_depth=MAX_EVENT_DEPTH))), list)


@pytest.mark.parametrize(
    "body", [b"[]", b'{"errcode": 5, "error": []}', b"[" * 9999, b'{"errcode": "' + b"M" * 9999 + b'"}']
)
def test_an_error_may_say_anything(body: bytes) -> None:
    refused = World(answer(400, body))
    error = refused.outcome(refused.transport.get(TWO, "/x"))
    assert isinstance(error, Refused)
    assert len(error.errcode) <= 100


def test_of_an_endless_error_the_beginning_is_read() -> None:
    world = World(answer(404, b"x" * 10_000_000))
    error = world.outcome(world.transport.stream(TWO, "/x"))
    assert (error.status, error.errcode) == (404, "M_UNKNOWN")
    assert MAX_ERROR_BYTES < 10_000_000


def test_one_server_has_so_many_requests_at_a_time() -> None:
    world = World(*(answer() for _ in range(MAX_AT_ONCE + MAX_WAITING)))
    world.release = Deferred()
    outcomes: list[Any] = []
    for _ in range(MAX_AT_ONCE + MAX_WAITING + 1):
        Deferred.fromCoroutine(world.transport.get(TWO, "/x")).addBoth(outcomes.append)
    assert len(world.requests) == MAX_AT_ONCE
    (refused,) = outcomes
    assert isinstance(refused.value, Unreachable)
    other = World(answer())
    assert other.outcome(other.transport.get(ServerName("three.test"), "/x")) == {}
    release, world.release = world.release, None
    release.callback(None)
    assert outcomes[1:] == [{}] * (MAX_AT_ONCE + MAX_WAITING)


def test_who_waits_too_long_for_its_turn_gives_up() -> None:
    world = World()
    world.release = Deferred()
    outcomes: list[Any] = []
    for _ in range(MAX_AT_ONCE + 1):
        Deferred.fromCoroutine(world.transport.get(TWO, "/x")).addBoth(outcomes.append)
    world.reactor.advance(31)
    (refused,) = outcomes
    assert isinstance(refused.value, Unreachable)
    assert world.told.words == []
