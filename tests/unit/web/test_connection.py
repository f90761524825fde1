"""Bodies, streams, keep-alive, disconnects and the way to stop."""

import io
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone

from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson, Reply, StreamReply, redirect
from homeserver.web.router import Access, Router, route
from matrix.errors import MatrixError
from matrix.ids import UserId
from tests.support.http import MemoryClient, MemoryTransport, response_of
from tests.unit.web.api import Api, router_of

UPLOAD = b"POST /upload HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def web(api: Api) -> MemoryClient:
    return MemoryClient(router_of(api))


def feed(web: MemoryClient, *pieces: bytes) -> MemoryTransport:
    connection = web.connect()
    for piece in pieces:
        connection.protocol.dataReceived(piece)
    return connection


def client_of(answer: Answer) -> MemoryClient:
    class One:
        @route("GET", "/", access=Access.PUBLIC)
        async def get(self, call: Call) -> Answer:
            return answer

    router = Router()
    router.add(One())
    return MemoryClient(router)


def test_a_connection_serves_many_requests(web: MemoryClient) -> None:
    hello = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
    connection = feed(web, hello, hello, hello)
    assert len(connection.responses) == 3
    assert not connection.is_closed


@pytest.mark.parametrize(
    ("head", "is_closed"),
    [
        (b"HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", True),
        (b"HTTP/1.0\r\n", True),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1\r\nHost: h\r\n", False),
    ],
)
def test_a_connection_is_kept_as_the_client_wishes(web: MemoryClient, head: bytes, is_closed: bool) -> None:
    connection = feed(web, b"GET /hello " + head + b"\r\n")
    assert connection.responses[0].status == 200
    assert connection.is_closed is is_closed


def test_an_answer_has_a_date(web: MemoryClient) -> None:
    assert response_of(web.request("GET", "/hello")).headers["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    web.clock.advance(86400)
    assert response_of(web.request("GET", "/hello")).headers["date"] == "Fri, 02 Jan 1970 00:00:00 GMT"


def test_the_content_type_of_a_request_does_not_matter(web: MemoryClient) -> None:
    response = response_of(web.request("POST", "/object", body=b'{"a":1}', headers={"Content-Type": "text/plain"}))
    assert response.json == {"keys": ["a"]}


def test_a_body_that_a_get_brings_is_ignored(web: MemoryClient) -> None:
    assert response_of(web.request("GET", "/hello", body=b"{}")).json == {"hello": "world"}


def test_an_unknown_path_keeps_the_connection_after_its_body(web: MemoryClient) -> None:
    connection = feed(web, b"POST /nope HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
    assert connection.responses[0].status == 404
    assert not connection.is_closed


def test_a_client_that_asks_is_told_to_send_its_body(web: MemoryClient) -> None:
    head = b"POST /object HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    connection = feed(web, head)
    assert connection.interim == [100]
    connection.protocol.dataReceived(b"{}")
    assert connection.responses[0].status == 200


def test_a_client_that_asks_is_refused_before_it_sends_its_body(web: MemoryClient) -> None:
    head = b"POST /refuse-upload HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n"
    connection = feed(web, head)
    assert connection.interim == []
    assert connection.responses[0].status == 403
    assert connection.responses[0].headers["connection"] == "close"


def test_a_streamed_body_arrives_in_pieces(web: MemoryClient, api: Api) -> None:
    connection = feed(web, UPLOAD + b"Content-Length: 6\r\nExpect: 100-continue\r\n\r\n", b"abc")
    assert connection.interim == [100]
    assert connection.responses == []
    connection.protocol.dataReceived(b"def")
    assert connection.responses[0].json == {"bytes": 6}
    assert api.uploads == [b"abcdef"]


def test_a_streamed_body_waits_for_its_reader(web: MemoryClient, api: Api) -> None:
    api.gate = Deferred()
    connection = feed(web, UPLOAD + b"Content-Length: 600000\r\n\r\n", *[b"x" * 60_000] * 5)
    assert connection.producerState == "paused"
    api.gate.callback(None)
    assert connection.producerState == "producing"
    for _ in range(5):
        connection.protocol.dataReceived(b"x" * 60_000)
    assert connection.responses[0].json == {"bytes": 600_000}


def test_a_streamed_body_is_bounded(web: MemoryClient, api: Api) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    connection = feed(web, UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 16)
    assert connection.responses[0].errcode == "M_TOO_LARGE"
    assert api.uploads == []


def test_a_broken_streamed_body_fails_for_its_reader(web: MemoryClient, api: Api) -> None:
    connection = feed(web, UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"zz\r\n")
    assert connection.responses[0].status == 400
    assert api.uploads == []


def test_what_an_early_answer_left_unread_is_read_and_dropped(web: MemoryClient, api: Api) -> None:
    api.gate = Deferred()
    connection = feed(web, UPLOAD + b"Content-Length: 600000\r\n\r\n", *[b"x" * 60_000] * 5)
    api.gate.errback(MatrixError(403, "M_FORBIDDEN", "no"))
    assert connection.responses[0].status == 403
    assert connection.producerState == "producing"
    assert not connection.is_closed


def test_a_client_that_leaves_breaks_its_upload(web: MemoryClient, api: Api) -> None:
    connection = feed(web, UPLOAD + b"Content-Length: 6\r\n\r\nabc")
    connection.disconnect()
    assert api.uploads == []
    assert connection.responses == []


def test_a_long_poll_is_cancelled_when_its_client_leaves(web: MemoryClient, api: Api) -> None:
    web.open("GET", "/wait").disconnect()
    assert api.outcomes == ["CancelledError"]


def test_a_write_goes_on_when_its_client_leaves(web: MemoryClient, api: Api) -> None:
    web.open("PUT", "/wait", json={}).disconnect()
    assert api.outcomes == []
    api.waiting[0].callback({})
    assert api.outcomes == ["done"]


def test_a_file_is_streamed_and_closed(web: MemoryClient, api: Api) -> None:
    response = response_of(web.request("GET", "/file"))
    assert response.body == b"f" * 1_000_000
    assert response.headers["content-length"] == "1000000"
    assert (response.headers["content-type"], response.headers["x-test"]) == ("image/png", "yes")
    assert api.file.closed


def test_head_of_a_file_sends_and_keeps_nothing_open(web: MemoryClient, api: Api) -> None:
    response = response_of(web.request("HEAD", "/file"))
    assert (response.headers["content-length"], response.body) == ("1000000", b"")
    assert api.file.closed


def test_a_file_is_sent_at_the_clients_pace(web: MemoryClient, api: Api) -> None:
    connection = web.connect()
    connection.takes_nothing = True
    connection.protocol.dataReceived(b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
    assert api.file.tell() < 600_000
    connection.takes_nothing = False
    connection.producer.resumeProducing()
    assert len(connection.responses[0].body) == 1_000_000


def test_a_file_is_closed_when_its_client_leaves(web: MemoryClient, api: Api) -> None:
    connection = web.connect()
    connection.takes_nothing = True
    connection.protocol.dataReceived(b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.disconnect()
    assert api.file.closed


def test_a_body_of_unknown_length_is_sent_in_chunks(web: MemoryClient) -> None:
    response = response_of(web.request("GET", "/chunks"))
    assert (response.body, response.headers["transfer-encoding"]) == (b"onetwo", "chunked")


def test_to_http_10_a_body_of_unknown_length_ends_with_the_connection(web: MemoryClient) -> None:
    connection = feed(web, b"GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert connection.is_closed
    assert connection.responses[0].body == b"onetwo"


@pytest.mark.parametrize("length", [5, 7])
def test_a_body_of_another_length_than_announced_breaks_the_connection(web: MemoryClient, length: int) -> None:
    with pytest.raises(ConnectionDone):
        response_of(web.request("GET", f"/chunks?length={length}"))


def test_a_large_answer_goes_out_whole(web: MemoryClient) -> None:
    response = response_of(web.request("GET", "/large"))
    assert response.json == ["x" * 1_000_000]


def test_ready_json_is_sent_as_it_is() -> None:
    response = response_of(client_of(RawJson([b'{"a":', b"1}"])).request("GET", "/"))
    assert (response.json, response.headers["content-type"]) == ({"a": 1}, "application/json")


def test_a_json_key_may_be_an_identifier() -> None:
    assert response_of(client_of({UserId("@a:b"): UserId("@c:d")}).request("GET", "/")).json == {"@a:b": "@c:d"}


@pytest.mark.parametrize(
    ("answer", "content_type", "body"),
    [
        (Reply(201, {"a": 1}), "application/json", b'{"a":1}'),
        (Reply(201, {"a": 1}, headers={"X": "y"}), "application/json", b'{"a":1}'),
        (Reply(201, "é"), "text/plain; charset=utf-8", "é".encode()),
        (Reply(201, "<p>", "text/html"), "text/html", b"<p>"),
        (Reply(201, b"\x00"), "application/octet-stream", b"\x00"),
    ],
)
def test_a_reply_has_the_type_of_its_body(answer: Answer, content_type: str, body: bytes) -> None:
    response = response_of(client_of(answer).request("GET", "/"))
    assert (response.status, response.headers["content-type"], response.body) == (201, content_type, body)


def test_a_header_of_the_handler_replaces_ours() -> None:
    connection = client_of(Reply(body={}, headers={"cache-control": "public", "Content-Type": "x/y"})).open("GET", "/")
    sent = connection.value().lower()
    assert sent.count(b"cache-control: ") == sent.count(b"content-type: ") == 1
    assert connection.responses[0].headers["cache-control"] == "public"


def test_204_has_no_body_and_no_length(web: MemoryClient) -> None:
    connection = web.open("DELETE", "/nothing")
    assert b"content-length" not in connection.value().lower()


def test_a_redirect_is_safe_in_a_header() -> None:
    response = response_of(client_of(redirect("https://x/é?a=b#c\r\nX: y")).request("GET", "/"))
    assert (response.status, response.headers["location"]) == (302, "https://x/%C3%A9?a=b#c%0D%0AX:%20y")


def test_what_no_handler_may_answer_is_a_500() -> None:
    nonsense: Any = object()
    assert response_of(client_of(nonsense).request("GET", "/")).status == 500


def test_a_stopping_server_closes_idle_connections_and_lets_the_running_end(web: MemoryClient, api: Api) -> None:
    idle, busy = web.connect(), web.open("GET", "/wait")
    web.server.begin_drain()
    assert idle.is_closed and not busy.is_closed
    api.waiting[0].callback({"bye": True})
    assert busy.responses[0].headers["connection"] == "close"
    assert busy.is_closed


def test_a_stopping_server_waits_no_longer_than_told(web: MemoryClient, api: Api) -> None:
    busy = web.open("GET", "/wait")
    stopped = Deferred.fromCoroutine(web.server.drain(10))
    web.clock.pump([0.1] * 90)
    assert not stopped.called and not busy.is_closed
    web.clock.pump([0.1] * 20)
    assert stopped.called and busy.is_closed
    assert web.server.connection_count == 0
    assert web.clock.getDelayedCalls() == []


def test_a_stream_reply_of_no_bytes_is_whole() -> None:
    assert response_of(client_of(StreamReply(io.BytesIO(b""), 0)).request("GET", "/")).body == b""
