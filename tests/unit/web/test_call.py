"""One request, as a handler sees it."""

import pytest

from homeserver.web.body import decode_json
from homeserver.web.call import Call, Headers, Peer
from matrix.errors import BadRequest, TooLarge


def call(target: str = "/x", *, proxies: int = 0, **headers: str) -> Call:
    values = {name.replace("_", "-").lower().encode(): [value.encode()] for name, value in headers.items()}
    return Call("GET", target.encode(), Headers(values), Peer("10.0.0.1", proxies=proxies), 1)


def test_headers_are_found_in_any_case() -> None:
    headers = Headers({b"x-y": [b"a", b"b"]})
    assert headers.get("X-Y") == "a, b"
    assert headers.get_all("x-Y") == ["a", "b"]
    assert headers.get("z") is None


@pytest.mark.parametrize(
    ("made", "token"),
    [
        (call(authorization="Bearer abc"), "abc"),
        (call(authorization="bearer abc"), "abc"),
        (call("/x?access_token=q"), "q"),
        (call("/x?access_token=q", authorization="Bearer h"), "h"),
        (call("/x?access_token=q", authorization="Basic aaaa"), "q"),
        (call(authorization="Bearer"), None),
        (call(), None),
    ],
)
def test_the_access_token_is_in_the_header_or_in_the_query(made: Call, token: str | None) -> None:
    assert made.access_token() == token


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "1.1.1.1", "10.0.0.1"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (3, "1.1.1.1", "1.1.1.1"),
        (1, "1.1.1.1:4711", "1.1.1.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "unknown", "10.0.0.1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_the_client_is_whom_our_outermost_proxy_saw(proxies: int, forwarded: str, expected: str) -> None:
    assert call(proxies=proxies, x_forwarded_for=forwarded).client_ip == expected


def test_only_a_proxy_of_ours_may_say_that_the_client_came_by_tls() -> None:
    assert not call(x_forwarded_proto="https").is_secure
    assert call(proxies=1, x_forwarded_proto="https").is_secure
    assert not call(proxies=1, x_forwarded_proto="http").is_secure


def test_the_representation_shows_no_token() -> None:
    assert repr(call("/x?access_token=secret")) == "<Call GET /x>"


def test_the_target_is_kept_as_it_was_sent() -> None:
    made = call("/a%2Fb?c=%20")
    assert (made.target, made.path, made.query.text("c")) == ("/a%2Fb?c=%20", "/a%2Fb", " ")


def test_no_body_is_an_object_only_if_the_handler_says_so() -> None:
    assert call().json(empty_ok=True).raw == {}
    with pytest.raises(BadRequest):
        call().json()


def test_a_body_that_is_no_object_is_bad_json() -> None:
    made = call()
    made.take_body(b"[]")
    assert made.raw_json() == []
    with pytest.raises(BadRequest, match="object"):
        made.json()


@pytest.mark.parametrize("value", [b"[]", b"{}", b'{"a":0}'])
def test_a_large_body_of_more_values_than_events_have_is_too_large(value: bytes) -> None:
    with pytest.raises(TooLarge):
        decode_json(b"[" + b",".join([value] * 700_000) + b"]")
    assert decode_json(b"[" + b",".join([value] * 1_000) + b"]")
    assert decode_json(b'["' + b"," * 1_000_000 + b'"]')
