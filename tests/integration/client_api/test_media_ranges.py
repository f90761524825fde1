"""Parts of files, for who goes on with a download or looks into the middle of a film. Source: RFC 9110, 14."""

from typing import Any

from tests.support.homeserver import Client, Homeserver
from tests.support.http import Response

FILE = bytes(range(256)) * 2000


async def upload(user: Client) -> str:
    response = await user.hs.http.request(
        "POST", "/_matrix/media/v3/upload", body=FILE, token=user.token, headers={"Content-Type": "text/plain"}
    )
    assert response.status == 200, response
    return str(response.json["content_uri"]).removeprefix("mxc://")


async def download(user: Client, key: str, method: str = "GET", **headers: str) -> Response:
    named: Any = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/_matrix/client/v1/media/download/{key}"
    response: Response = await user.hs.http.request(method, path, token=user.token, headers=named)
    return response


async def test_a_part_of_a_file(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    key = await upload(alice)
    response = await download(alice, key, range="bytes=1000-300999")
    assert response.status == 206
    assert response.body == FILE[1000:301_000]
    assert response.headers["content-range"] == f"bytes 1000-300999/{len(FILE)}"
    assert response.headers["content-length"] == "300000"
    assert response.headers["content-type"].startswith("text/plain")


async def test_a_whole_file_says_that_there_are_parts(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    response = await download(alice, await upload(alice))
    assert response.status == 200 and response.body == FILE
    assert response.headers["accept-ranges"] == "bytes"


async def test_a_part_beyond_the_end_is_refused(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    response = await download(alice, await upload(alice), range=f"bytes={len(FILE)}-")
    assert response.status == 416
    assert response.headers["content-range"] == f"bytes */{len(FILE)}"


async def test_a_part_of_another_version_means_the_whole_file(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    key = await upload(alice)
    tag = (await download(alice, key)).headers["etag"]
    assert (await download(alice, key, range="bytes=0-9", if_range=tag)).status == 206
    assert (await download(alice, key, range="bytes=0-9", if_range='"another"')).status == 200


async def test_who_has_the_file_needs_no_part(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    key = await upload(alice)
    tag = (await download(alice, key)).headers["etag"]
    assert (await download(alice, key, range="bytes=0-9", if_none_match=tag)).status == 304


async def test_headers_alone_are_those_of_the_whole_file(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    response = await download(alice, await upload(alice), method="HEAD", range="bytes=0-9")
    assert response.status == 200 and response.body == b""
