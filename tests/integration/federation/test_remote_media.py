"""Files of other servers: fetched, kept, given; and ours for others."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from federation.outbound.wire import WireAnswer
from homeserver.services.media.disposition import file_name_of
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client
from tests.support.http import Response
from tests.unit.media.made_images import encoded, picture

V1 = "/_matrix/federation/v1/media"
CLIENT = "/_matrix/client/v1/media"
PNG = encoded(picture(200, 100), "PNG")


async def upload(user: Client, body: bytes = b"hello", content_type: str = "text/plain", name: str = "") -> str:
    """The part of the mxc:// URI after its scheme."""
    path = "/_matrix/media/v3/upload" + (f"?filename={name}" if name else "")
    headers = {"Content-Type": content_type}
    response = await user.hs.http.request("POST", path, body=body, token=user.token, headers=headers)
    assert response.status == 200, response
    return str(response.json["content_uri"]).removeprefix("mxc://")


async def download(user: Client, key: str, query: str = "", kind: str = "download") -> Response:
    response: Response = await user.hs.http.request("GET", f"{CLIENT}/{kind}/{key}{query}", token=user.token)
    return response


def parts(*blocks: bytes, boundary: str = "cut") -> WireAnswer:
    """A multipart answer of these parts, each with its headers."""
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), block) for block in blocks)
    body += f"--{boundary}--\r\n".encode()
    return WireAnswer(200, {"content-type": f"multipart/mixed; boundary={boundary}"}, body)


METADATA = b"Content-Type: application/json\r\n\r\n{}"


def with_file(body: bytes, headers: str = "Content-Type: text/plain\r\n") -> WireAnswer:
    return parts(METADATA, headers.encode() + b"\r\n" + body)


async def test_a_file_of_another_server(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    key = await upload(bob, b"x" * 300_000, name="a%20b.txt")
    response = await download(alice, key)
    assert response.status == 200 and response.body == b"x" * 300_000
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["content-disposition"] == 'inline; filename="a b.txt"'


async def test_a_file_is_fetched_once(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    key = await upload(bob)
    asked = [Deferred.fromCoroutine(download(alice, key)) for _ in range(5)]
    results: Any = await DeferredList(asked)
    assert [response.body for _, response in results] == [b"hello"] * 5
    network.cut("one.test", "two.test")
    assert (await download(alice, key)).body == b"hello"
    assert len(network.sent("/media/")) == 1


async def test_a_thumbnail_of_another_servers_image_is_made_here(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    key = await upload(bob, PNG, "image/png")
    response = await download(alice, key, "?width=32&height=32", "thumbnail")
    assert response.status == 200 and response.headers["content-type"] == "image/png"
    assert [sent.path for sent in network.sent("/media/")] == [f"{V1}/download/{key.split('/')[1]}"]


async def test_a_file_for_another_server_is_a_part(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    alice = await one.register("alice")
    key = await upload(alice, b"hello", name="greeting.txt")
    response = await two.ask("one.test", "GET", f"{V1}/download/{key.split('/')[1]}")
    found = re.fullmatch(r"multipart/mixed; boundary=(\w+)", response.headers["content-type"])
    assert response.status == 200 and found
    assert (
        response.body
        == (
            f"--{found[1]}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
            f"--{found[1]}\r\nContent-Type: text/plain\r\n"
            f'Content-Disposition: inline; filename="greeting.txt"\r\n\r\nhello\r\n--{found[1]}--\r\n'
        ).encode()
    )
    assert int(response.headers["content-length"]) == len(response.body)


async def test_a_thumbnail_for_another_server_is_a_part(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    alice = await one.register("alice")
    media_id = (await upload(alice, PNG, "image/png")).split("/")[1]
    response = await two.ask("one.test", "GET", f"{V1}/thumbnail/{media_id}?width=32&height=32")
    assert response.status == 200
    assert response.headers["content-type"].startswith("multipart/mixed")
    assert b"Content-Type: image/png\r\n" in response.body and b"\x89PNG" in response.body
    assert (await two.ask("one.test", "GET", f"{V1}/thumbnail/{media_id}?width=32")).status == 400


async def test_other_servers_get_only_our_own_files(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    three = FakeServer(network, "three.test")
    alice = await one.register("alice")
    two.answers("GET", f"{V1}/download/", lambda _: with_file(b"hello"))
    assert (await download(alice, "two.test/abc")).status == 200
    response = await three.ask("one.test", "GET", f"{V1}/download/abc")
    assert response.status == 404 and response.errcode == "M_NOT_FOUND"
    assert (await three.ask("one.test", "GET", f"{V1}/download/a%2Fb")).status == 404


async def test_files_are_not_for_who_does_not_sign(network: Network) -> None:
    one = await network.start("one.test")
    alice = await one.register("alice")
    media_id = (await upload(alice)).split("/")[1]
    response = await one.ask("GET", f"{V1}/download/{media_id}")
    assert response.status == 401


async def test_a_server_of_old_is_asked_at_the_old_place(network: Network) -> None:
    one, old = await network.start("one.test"), FakeServer(network, "old.test")
    alice = await one.register("alice")
    headers = {"content-type": "text/plain", "content-disposition": "attachment; filename*=utf-8''na%C3%AFve"}
    old.answers("GET", "/_matrix/media/v3/download/old.test/abc", lambda _: WireAnswer(200, headers, b"hello"))
    response = await download(alice, "old.test/abc")
    assert response.status == 200 and response.body == b"hello"
    assert response.headers["content-disposition"] == "inline; filename*=UTF-8''na%C3%AFve"
    assert "allow_remote=false" in old.requests[-1].request.target


async def test_a_file_that_is_not_there_is_not_looked_for_at_the_old_place(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice = await one.register("alice")
    response = await download(alice, "two.test/abc")
    assert response.status == 404 and response.errcode == "M_NOT_FOUND"
    assert not two.rows("SELECT 1 FROM media")
    assert not network.sent("/_matrix/media/")


async def test_a_file_that_could_not_be_had_is_not_asked_for_again_at_once(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    alice = await one.register("alice")
    two.answers("GET", V1, lambda _: (404, {"errcode": "M_NOT_FOUND", "error": "no"}))
    for _ in range(3):
        assert (await download(alice, "two.test/abc")).status == 404
    assert len(two.requests) == 1


async def test_a_server_that_is_away(network: Network) -> None:
    one = await network.start("one.test")
    alice = await one.register("alice")
    assert (await download(alice, "nowhere.test/abc")).status == 502


async def test_a_file_that_is_not_yet_uploaded(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    created = await bob.ok("POST", "/_matrix/media/v1/create")
    key = created["content_uri"].removeprefix("mxc://")
    response = await download(alice, key, "?timeout_ms=1")
    assert response.status == 504 and response.errcode == "M_NOT_YET_UPLOADED"
    path = f"/_matrix/media/v3/upload/{key}"
    assert (await two.http.request("PUT", path, body=b"hello", token=bob.token)).status == 200
    assert (await download(alice, key)).body == b"hello"


async def test_a_file_that_is_too_large_is_not_taken(network: Network) -> None:
    one = await network.start("one.test", "max_upload_size: 100K\n")
    two = FakeServer(network, "two.test")
    alice = await one.register("alice")
    two.answers("GET", V1, lambda _: with_file(b"x" * 200_000))
    response = await download(alice, "two.test/abc")
    assert response.status == 502 and response.errcode == "M_TOO_LARGE"
    assert not one.rows("SELECT 1 FROM media_files")


async def test_files_of_a_blocked_server_are_not_fetched(network: Network) -> None:
    one = await network.start("one.test", "prevent_media_downloads_from: [two.test]\n")
    two = FakeServer(network, "two.test")
    alice = await one.register("alice")
    assert (await download(alice, "two.test/abc")).status == 404
    assert not two.requests


@pytest.mark.parametrize(
    "answer",
    [
        WireAnswer(200, {"content-type": "text/plain"}, b"hello"),
        parts(METADATA),
        parts(b"Content-Type: application/json\r\n\r\n" + b"x" * 100_000, b"\r\nhello"),
        WireAnswer(200, {"content-type": "multipart/mixed; boundary=cut"}, b"--cut\r\n\r\n{}\r\n--cut\r\n\r\nhel"),
        parts(METADATA, b"Location: file:///etc/passwd\r\n\r\n"),
        parts(METADATA, b"Location: http://127.0.0.1:1/\r\n\r\n"),
        (500, {"errcode": "M_UNKNOWN", "error": "no"}),
    ],
)
async def test_an_answer_that_is_no_file(network: Network, answer: Any) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice = await one.register("alice")
    evil.answers("GET", V1, lambda _: answer)
    assert (await download(alice, "evil.test/abc")).status == 502
    assert not one.rows("SELECT 1 FROM media")


class Shelf:
    """Where another server keeps its files."""

    @route("GET", "/file", access=Access.PUBLIC)
    async def file(self, call: Call) -> Answer:
        return Reply(200, b"hello", "text/plain", headers={"Content-Disposition": "inline; filename=a.txt"})


@pytest.fixture
def shelf() -> Iterator[str]:
    """Its address."""
    router = Router()
    router.add(Shelf())
    port = reactor.listenTCP(0, HttpServer(router=router, reactor=reactor), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())


async def test_a_file_that_is_elsewhere_is_fetched_from_there(network: Network, shelf: str) -> None:
    one = await network.start("one.test", "ip_range_whitelist: [127.0.0.1]\n")
    two = FakeServer(network, "two.test")
    alice = await one.register("alice")
    two.answers("GET", f"{V1}/download/there", lambda _: parts(METADATA, f"Location: {shelf}/file\r\n\r\n".encode()))
    two.answers("GET", f"{V1}/download/gone", lambda _: parts(METADATA, f"Location: {shelf}/no\r\n\r\n".encode()))
    response = await download(alice, "two.test/there")
    assert response.status == 200 and response.body == b"hello"
    assert response.headers["content-disposition"] == 'inline; filename="a.txt"'
    assert (await download(alice, "two.test/gone")).status == 502


async def test_what_another_server_says_of_a_file_is_only_what_can_be(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice = await one.register("alice")
    headers = (
        'Content-Type: text/html"\x01\r\nContent-Disposition: inline; filename="a\x00\x1bb"\r\nContent-Length: 9999\r\n'
    )
    evil.answers("GET", V1, lambda _: with_file(b"hello", headers))
    response = await download(alice, "evil.test/abc")
    assert response.status == 200 and response.body == b"hello"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == 'attachment; filename="ab"'


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, None),
        ("inline", None),
        ("attachment; filename=a.txt", "a.txt"),
        (r'attachment; filename="a \"b\".txt"', 'a "b".txt'),
        ("attachment; filename=\"x\"; filename*=UTF-8'en'%e2%82%ac", "€"),
        ("attachment; filename*=utf-8''%ff", "\ufffd"),
        ('inline; filename=""', None),
    ],
)
def test_the_name_of_a_file(header: str | None, name: str | None) -> None:
    assert file_name_of(header) == name
