"""Bodies of parts, however they are cut on the way."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.services.media.multipart import MAX_HEADER_BYTES, BadMultipart, Multipart, boundary_of

BODY = (
    b"--cut\r\nContent-Type: application/json\r\n\r\n{}\r\n"
    b'--cut\r\nContent-Type: text/plain\r\nContent-Disposition: inline; filename="a b"\r\n\r\n'
    b"one\r\n--cu not yet\r\n--cut--\r\n"
)


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that waits for nothing."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


async def read(body: bytes, size: int, boundary: bytes = b"cut") -> list[tuple[dict[str, str], bytes]]:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    parts, found = Multipart(chunks(), boundary), []
    while (headers := await parts.next()) is not None:
        found.append((dict(headers), b"".join([piece async for piece in parts.body()])))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_parts_are_the_same_however_they_come(size: int) -> None:
    assert finish(read(BODY, size)) == [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "text/plain", "content-disposition": 'inline; filename="a b"'}, b"one\r\n--cu not yet"),
    ]


@pytest.mark.parametrize("blank", [b"\r\n\r\n", b"\r\n\r\n\r\n"])
def test_a_part_may_be_empty(blank: bytes) -> None:
    body = b"\r\n--cut\r\nLocation: https://cdn.test/a" + blank + b"--cut--"
    assert finish(read(body, 4)) == [({"location": "https://cdn.test/a"}, b"")]


def test_what_stands_before_the_first_part_is_skipped() -> None:
    assert finish(read(b"hello\r\n--cut\r\n\r\nbody\r\n--cut--", 5)) == [({}, b"body")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no parts at all",
        BODY[:-30],
        b"--cut\r\nContent-Type: text/plain",
        b"--cut something\r\n\r\nbody\r\n--cut--",
        b"--cut\r\nA: " + b"x" * 2 * MAX_HEADER_BYTES + b"\r\n\r\nbody\r\n--cut--",
        b"x" * 100_000 + b"\r\n--cut\r\n\r\nbody\r\n--cut--",
    ],
)
def test_what_is_not_made_of_parts_is_refused(body: bytes) -> None:
    with pytest.raises(BadMultipart):
        finish(read(body, 1000))


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=abc", b"abc"),
        ('Multipart/Mixed;charset=utf-8; Boundary="a b=c"', b"a b=c"),
        ("multipart/mixed;boundary=abc;x=y", b"abc"),
    ],
)
def test_the_boundary_stands_in_the_content_type(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type", ["", "text/plain; boundary=a", "multipart/mixed", "multipart/mixed; boundary="]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(BadMultipart):
        boundary_of(content_type)
