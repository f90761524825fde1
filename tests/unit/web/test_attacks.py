"""What a hostile client may send: never a 500, never more than its share, and nothing smuggled."""

import pytest

from homeserver.web.exchange import Limits
from homeserver.web.server import SWEEP_S
from tests.support.http import MemoryClient, MemoryTransport, Response, response_of
from tests.unit.web.api import Api, router_of

GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /hello HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def client(api: Api) -> MemoryClient:
    return MemoryClient(router_of(api))


def feed(client: MemoryClient, *pieces: bytes) -> MemoryTransport:
    connection = client.connect()
    for piece in pieces:
        connection.protocol.dataReceived(piece)
    return connection


def answers(connection: MemoryTransport) -> list[int]:
    return [response.status for response in connection.responses]


def is_closing(connection: MemoryTransport) -> bool:
    """Everything more that it sends is ignored."""
    before = len(connection.responses)
    if not connection.is_closed:
        connection.protocol.dataReceived(GET)
    return len(connection.responses) == before


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, id="both lengths"
        ),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" + GET, id="TE then CL"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + GET, id="two lengths"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + GET, id="one length twice"),
        pytest.param(POST + b"Content-Length: 2, 2\r\n\r\n{}" + GET, id="a list of lengths"),
        pytest.param(POST + b"Content-Length: -2\r\n\r\n{}" + GET, id="a negative length"),
        pytest.param(POST + b"Content-Length: +2\r\n\r\n{}" + GET, id="a length with a sign"),
        pytest.param(POST + b"Content-Length: 0x2\r\n\r\n{}" + GET, id="a hexadecimal length"),
        pytest.param(POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", id="a length beyond 64 bits"),
        pytest.param(POST + b"Content-Length : 2\r\n\r\n{}" + GET, id="a space before the colon"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n{}" + GET, id="an unknown coding"),
        pytest.param(POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + GET, id="chunked is not the last"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + GET, id="nearly chunked"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + GET, id="a bad chunk size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n" + GET, id="a negative chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n" + GET, id="no end of the chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + GET, id="chunks with bare LF"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n" + GET, id="a chunk size beyond 64 bits"
        ),
        pytest.param(b"GET /hello HTTP/1.1\nHost: h\n\n" + GET, id="bare LF"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n" + GET, id="a folded header"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n" + GET, id="NUL in a header"),
        pytest.param(b"GET /hel\x00lo HTTP/1.1\r\nHost: h\r\n\r\n" + GET, id="NUL in the path"),
        pytest.param(b"GET hello HTTP/1.1\r\nHost: h\r\n\r\n" + GET, id="no slash"),
        pytest.param(b"GET ftp://h/hello HTTP/1.1\r\nHost: h\r\n\r\n" + GET, id="another scheme"),
        pytest.param(b"GET /hello HTTP/1.1\r\n\r\n" + GET, id="no host"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + GET, id="two hosts"),
        pytest.param(b"POST /hello HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, id="chunks in 1.0"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS on a plain port"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
    ],
)
def test_an_ambiguous_or_malformed_request_is_refused_and_ends_the_connection(
    client: MemoryClient, request_bytes: bytes
) -> None:
    connection = feed(client, request_bytes)
    [refusal] = connection.responses
    assert 400 <= refusal.status < 500 or refusal.status == 505
    assert refusal.errcode in ("M_UNKNOWN", "M_UNRECOGNIZED"), "refused by the protocol, not by the route"
    assert refusal.headers["connection"] == "close"
    assert refusal.headers["access-control-allow-origin"] == "*"
    assert is_closing(connection)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_request_may_come_in_pieces_of_any_size(client: MemoryClient, size: int) -> None:
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n[1,\r\n2\r\n2]\r\n0\r\nTrailer: x\r\n\r\n" + GET
    connection = feed(client, *[data[at : at + size] for at in range(0, len(data), size)])
    assert [response.json for response in connection.responses] == [{"raw": [1, 2]}, {"hello": "world"}]


def test_an_unknown_method_is_405(client: MemoryClient) -> None:
    [refusal] = feed(client, b"FROB /hello HTTP/1.1\r\nHost: h\r\n\r\n").responses
    assert (refusal.status, refusal.errcode) == (405, "M_UNRECOGNIZED")


def test_connect_is_refused(client: MemoryClient) -> None:
    assert answers(feed(client, b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n")) == [400]


def test_an_upgrade_is_declined_by_an_ordinary_answer(client: MemoryClient) -> None:
    upgrade = b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    connection = feed(client, upgrade + GET)
    assert answers(connection) == [200]
    assert is_closing(connection)


def test_the_body_of_an_upgrade_is_not_taken_for_a_request(client: MemoryClient) -> None:
    upgrade = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(GET)
    connection = feed(client, upgrade + GET)
    assert answers(connection) == [501]
    assert is_closing(connection)


def test_too_many_header_bytes_are_431(client: MemoryClient) -> None:
    connection = feed(client, GET[:-2] + b"X: " + b"x" * 66_000 + b"\r\n\r\n")
    assert answers(connection) == [431]


def test_a_header_without_end_is_431(client: MemoryClient) -> None:
    connection = feed(client, GET[:-2] + b"X: ", *[b"x" * 16_384] * 20)
    assert answers(connection) == [431]


def test_too_many_headers_are_431(client: MemoryClient) -> None:
    assert answers(feed(client, GET[:-2] + b"a:\r\n" * 200 + b"\r\n")) == [431]


def test_too_many_headers_are_431_before_they_end(client: MemoryClient) -> None:
    assert answers(feed(client, GET[:-2] + b"a:\r\n" * 2000)) == [431]


def test_a_url_that_is_too_long_is_414(client: MemoryClient) -> None:
    assert answers(feed(client, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n")) == [414]


@pytest.mark.parametrize("tail", [b"1;" + b"x" * 300_000, b"0\r\n" + b"X: y\r\n" * 50_000])
def test_chunk_extensions_and_trailers_are_bounded(client: MemoryClient, tail: bytes) -> None:
    pieces = [tail[at : at + 65536] for at in range(0, len(tail), 65536)]
    assert answers(feed(client, POST + b"Transfer-Encoding: chunked\r\n\r\n", *pieces)) == [400]


def test_a_body_announced_too_large_is_413_before_it_is_sent(client: MemoryClient) -> None:
    connection = feed(client, POST + b"Content-Length: 50000000\r\n\r\n")
    [refusal] = connection.responses
    assert (refusal.status, refusal.errcode) == (413, "M_TOO_LARGE")


def test_a_chunked_body_is_413_when_it_gets_too_large(client: MemoryClient) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert answers(feed(client, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20)) == [413]


def test_after_a_refusal_the_rest_of_the_body_is_dropped_and_then_the_connection(client: MemoryClient) -> None:
    connection = feed(client, POST + b"Content-Length: 50000000\r\n\r\n", *[b"x" * 65536] * 10)
    assert answers(connection) == [413]
    assert not connection.is_closed, "closing at once would reset the connection under the answer"
    client.clock.pump([SWEEP_S] * 4)
    assert connection.is_closed


@pytest.mark.parametrize("depth", [101, 1_000, 100_000])
@pytest.mark.parametrize("pattern", [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_refused(client: MemoryClient, depth: int, pattern: tuple[str, str]) -> None:
    opening, closing = pattern
    body = opening * depth + "1" + closing * depth
    response = response_of(client.request("POST", "/hello", body=body.encode()))
    assert (response.status, response.errcode) in [(400, "M_BAD_JSON"), (400, "M_NOT_JSON")]


def test_json_of_a_hundred_levels_is_accepted(client: MemoryClient) -> None:
    assert response_of(client.request("POST", "/hello", body=b"[" * 100 + b"]" * 100)).status == 200


def test_wide_json_is_not_taken_for_deep(client: MemoryClient) -> None:
    assert response_of(client.request("POST", "/hello", json=[[] for _ in range(1000)])).status == 200


@pytest.mark.parametrize(
    "body", [b"{", b"NaN", b'{"a":Infinity}', b'"\\ud800"', b"\xff", b"\xef\xbb\xbf{}", b"{'a':1}"]
)
def test_what_is_not_json_is_refused(client: MemoryClient, body: bytes) -> None:
    response = response_of(client.request("POST", "/object", body=body))
    assert (response.status, response.errcode) == (400, "M_NOT_JSON")


def test_pipelined_requests_are_answered_one_after_another(client: MemoryClient, api: Api) -> None:
    wait = b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"
    connection = feed(client, wait + GET + wait + GET)
    assert len(api.waiting) == 1 and connection.responses == []
    api.waiting[0].callback({"first": 1})
    assert [response.json for response in connection.responses] == [{"first": 1}, {"hello": "world"}]
    api.waiting[1].callback({"third": 3})
    assert answers(connection) == [200] * 4


def test_a_pipelined_request_may_end_in_a_later_read(client: MemoryClient, api: Api) -> None:
    post = POST + b"Content-Length: 2\r\n\r\n{}"
    connection = feed(client, b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + post[:-1], post[-1:] + GET)
    api.waiting[0].callback({})
    assert [response.json for response in connection.responses] == [{}, {"raw": {}}, {"hello": "world"}]


def test_a_flood_of_pipelined_requests_is_refused(client: MemoryClient, api: Api) -> None:
    connection = feed(client, b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + GET * 1000)
    api.waiting[0].callback({})
    limit = Limits().max_pipelined
    assert answers(connection) == [200] * limit + [429]
    assert is_closing(connection)


def test_input_behind_a_running_request_is_held_back(client: MemoryClient, api: Api) -> None:
    connection = feed(client, b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", GET, GET)
    assert connection.producerState == "paused"
    api.waiting[0].callback({})
    assert answers(connection) == [200] * 3
    assert connection.producerState == "producing"


def test_slow_headers_are_timed_out(client: MemoryClient) -> None:
    connection = feed(client, GET[:10])
    for byte in GET[10:20]:
        client.clock.advance(SWEEP_S)
        connection.protocol.dataReceived(bytes([byte]))
    assert answers(connection) == [408]
    assert is_closing(connection)


def test_a_slow_body_is_timed_out(client: MemoryClient) -> None:
    connection = feed(client, POST + b"Content-Length: 1000\r\n\r\n")
    for _ in range(10):
        client.clock.advance(SWEEP_S)
        connection.protocol.dataReceived(b"x")
    assert answers(connection) == [408]


def test_a_body_at_the_pace_of_a_bad_line_is_not_timed_out(client: MemoryClient) -> None:
    connection = feed(client, POST + b"Content-Length: 100000\r\n\r\n")
    for _ in range(20):
        client.clock.advance(SWEEP_S)
        connection.protocol.dataReceived(b" " * 5_000)
    assert answers(connection) == [400], "whole, and no JSON"


def test_a_slow_stream_fails_for_its_reader(client: MemoryClient, api: Api) -> None:
    connection = feed(client, b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx")
    client.clock.pump([SWEEP_S] * 8)
    assert answers(connection) == [408]
    assert api.uploads == []


def test_an_idle_connection_is_closed_after_two_minutes(client: MemoryClient) -> None:
    connection = feed(client, GET)
    client.clock.pump([SWEEP_S] * 24)
    assert not connection.is_closed
    client.clock.pump([SWEEP_S] * 3)
    assert connection.is_closed


def test_a_flood_of_empty_lines_does_not_keep_a_connection_alive(client: MemoryClient) -> None:
    connection = feed(client)
    for _ in range(40):
        client.clock.advance(SWEEP_S)
        if not connection.is_closed:
            connection.protocol.dataReceived(b"\r\n" * 10)
    assert connection.is_closed


def test_a_long_poll_is_not_timed_out(client: MemoryClient, api: Api) -> None:
    connection = client.open("GET", "/wait")
    client.clock.pump([SWEEP_S] * 100)
    api.waiting[0].callback({"late": True})
    assert [response.json for response in connection.responses] == [{"late": True}]


def test_a_client_that_takes_nothing_of_a_large_answer_is_dropped(client: MemoryClient) -> None:
    connection = client.connect()
    connection.takes_nothing = True
    connection.protocol.dataReceived(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
    client.clock.pump([SWEEP_S] * 11)
    assert not connection.is_closed
    client.clock.pump([SWEEP_S] * 4)
    assert connection.is_closed


@pytest.mark.parametrize("path", ["/rooms/%ff/state/a/b", "/rooms/!a:b/state/%00/b", "/me?access_token=%ff"])
def test_paths_and_queries_that_are_no_text_are_refused(client: MemoryClient, path: str) -> None:
    response: Response = response_of(client.request("GET", path))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


def test_a_header_cannot_be_split_by_what_a_client_sent(client: MemoryClient) -> None:
    response = response_of(client.request("GET", "/split?to=a%0d%0aX-Evil:%20yes"))
    assert "x-evil" not in response.headers
