"""Media: uploads, downloads, thumbnails, and what becomes of the files."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor
from twisted.internet.task import deferLater

from homeserver.app.media import Media, build_media, media_apis
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Remote
from homeserver.services.media.upkeep import until_done
from homeserver.services.media.uploads import Description
from homeserver.web.router import Router
from matrix.errors import NotFound
from matrix.ids import UserId
from tests.support.homeserver import Client, Homeserver
from tests.support.http import MemoryClient, Response
from tests.unit.media.made_images import animated, encoded, picture, png_bomb

V1 = "/_matrix/client/v1/media"
OLD = "/_matrix/media/v3"
ADMIN = UserId("@admin:hearth.test")


@define(eq=False)
class Library:
    """The media of a homeserver, behind a router of their own so that a test may reach in and replace parts."""

    hs: Homeserver
    media: Media
    http: MemoryClient

    async def ask(
        self, method: str, path: str, body: bytes | None = None, token: str | None = None, **headers: str
    ) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, body=body, token=token, headers=named)

    async def upload(self, user: Client, body: bytes, content_type: str = "text/plain", name: str = "") -> str:
        """The part of the mxc:// URI after its scheme."""
        path = f"{OLD}/upload" + (f"?filename={quote(name)}" if name else "")
        response = await self.ask("POST", path, body, user.token, content_type=content_type)
        assert response.status == 200, response
        return str(response.json["content_uri"]).removeprefix("mxc://")

    async def download(self, user: Client, key: str, **headers: str) -> Response:
        return await self.ask("GET", f"{V1}/download/{key}", token=user.token, **headers)

    async def thumbnail(self, user: Client, key: str, query: str = "width=32&height=32", **headers: str) -> Response:
        return await self.ask("GET", f"{V1}/thumbnail/{key}?{query}", token=user.token, **headers)

    def files(self) -> set[str]:
        """The names of the files on the disk."""
        return {path.name for path in (self.hs.core.config.media_path / "files").glob("*/*")}

    def unsettled(self) -> list[str]:
        directory = self.hs.core.config.media_path / "unsettled"
        return os.listdir(directory) if directory.exists() else []


def parse(key: str) -> MediaKey:
    return MediaKey.parse(*key.split("/"))


@pytest_twisted.async_yield_fixture
async def start(start_homeserver: Any) -> AsyncIterator[Any]:
    """`await start(more_yaml, remote)`."""

    async def start_library(more: str = "", remote: Remote | None = None) -> Library:
        hs = await start_homeserver(more)
        media = build_media(hs.core, remote)
        router = Router(authenticate=hs.server.users.authenticator)
        for api in media_apis(hs.core, media):
            router.add(api)
        return Library(hs, media, MemoryClient(router, reactor=reactor))

    yield start_library


@pytest_twisted.async_yield_fixture
async def library(start: Any) -> AsyncIterator[Library]:
    yield await start()


async def test_what_was_uploaded_is_downloaded(library: Library) -> None:
    alice = await library.hs.register("alice")
    body = bytes(range(256)) * 10_000
    key = await library.upload(alice, body, "image/png", "a b.png")
    response = await library.download(alice, key)
    assert response.status == 200
    assert response.body == body
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == 'inline; filename="a b.png"'
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"].startswith("private")
    assert headers["access-control-allow-origin"] == "*"
    assert library.unsettled() == []


async def test_an_empty_file_is_a_file(library: Library) -> None:
    alice = await library.hs.register("alice")
    response = await library.download(alice, await library.upload(alice, b""))
    assert (response.status, response.body) == (200, b"")


async def test_without_a_type_it_is_an_attachment(library: Library) -> None:
    alice = await library.hs.register("alice")
    uploaded = await library.ask("POST", f"{OLD}/upload", b"<script>", alice.token)
    response = await library.download(alice, uploaded.json["content_uri"].removeprefix("mxc://"))
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == "attachment"


async def test_a_name_in_the_path_goes_before_the_uploaders(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, b"x", name="mine.txt")
    response = await library.download(alice, f"{key}/{quote('☕/x', safe='')}%2Fy.txt")
    assert response.headers["content-disposition"] == "inline; filename*=UTF-8''%E2%98%95%2Fx%2Fy.txt"


async def test_who_has_it_already_is_told_so(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, encoded(picture(64, 64), "PNG"), "image/png")
    for get in (library.download, library.thumbnail):
        tag = (await get(alice, key)).headers["etag"]
        again = await get(alice, key, if_none_match=tag)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert (await get(alice, key, if_none_match='"other"')).status == 200


async def test_head_gives_the_headers_alone(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, b"hello")
    response = await library.ask("HEAD", f"{V1}/download/{key}", token=alice.token)
    assert (response.status, response.headers["content-length"], response.body) == (200, "5", b"")


async def test_what_is_not_there_is_not_found(library: Library) -> None:
    alice = await library.hs.register("alice")
    for path in (
        "hearth.test/none", "hearth.test/..%2F..%2Fetc%2Fpasswd", "elsewhere.test/abc", "a%20b/c", "hearth.test/a.b",
        "%2e%2e/x", "hearth.test/%C3%A4", "hearth.test/" + "a" * 300,
    ):  # fmt: skip
        for base in (f"{V1}/download/{path}", f"{OLD}/download/{path}", f"{V1}/thumbnail/{path}?width=1&height=1"):
            response = await library.ask("GET", base, token=alice.token)
            assert (response.status, response.errcode) == (404, "M_NOT_FOUND"), base


async def test_media_needs_a_token(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, encoded(picture(64, 64), "PNG"), "image/png")
    for path in (f"{V1}/download/{key}", f"{V1}/thumbnail/{key}?width=1&height=1", f"{V1}/config", f"{OLD}/config"):
        assert (await library.ask("GET", path)).errcode == "M_MISSING_TOKEN"
    for version in ("v3", "r0", "v1"):
        for path in (f"download/{key}", f"thumbnail/{key}?width=1&height=1", f"download/{key}/x.png"):
            response = await library.ask("GET", f"/_matrix/media/{version}/{path}")
            assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
    assert (await library.ask("POST", f"{OLD}/upload", b"x")).errcode == "M_MISSING_TOKEN"


async def test_media_from_before_the_freeze_is_for_everybody(start: Any) -> None:
    before = await start("enable_authenticated_media: false")
    alice = await before.hs.register("alice")
    key = await before.upload(alice, b"old")
    after = await start("enable_authenticated_media: true")
    assert (await after.ask("GET", f"/_matrix/media/r0/download/{key}")).body == b"old"
    assert "public" in (await after.ask("GET", f"{OLD}/download/{key}")).headers["cache-control"]
    newer = await after.upload(alice, b"new")
    assert (await after.ask("GET", f"{OLD}/download/{newer}")).status == 404
    assert (await before.ask("GET", f"{OLD}/download/{newer}")).body == b"new"


async def test_a_guest_downloads_but_does_not_upload(library: Library) -> None:
    alice = await library.hs.register("alice")
    guest = (await library.hs.ask("POST", "/register", {}, kind="guest")).json["access_token"]
    key = await library.upload(alice, b"x")
    assert (await library.ask("GET", f"{V1}/download/{key}", token=guest)).body == b"x"
    assert (await library.ask("POST", f"{OLD}/upload", b"x", guest)).status == 403


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(start: Any) -> None:
    library = await start("max_upload_size: 2M")
    alice = await library.hs.register("alice")
    config = await library.ask("GET", f"{V1}/config", token=alice.token)
    assert config.json == {"m.upload.size": 2 << 20}
    response = await library.ask("POST", f"{OLD}/upload", bytes((2 << 20) + 1), alice.token)
    assert (response.status, response.errcode) == (413, "M_TOO_LARGE")
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (3 << 20, bytes(3 << 20))
    transport = library.http.connect()
    head = f"POST {OLD}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\n"
    transport.protocol.dataReceived(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
    assert (await transport.next_response()).errcode == "M_TOO_LARGE"
    assert (library.files(), library.unsettled()) == (set(), [])
    assert (await library.upload(alice, bytes(2 << 20))) != ""


async def test_a_client_that_leaves_leaves_nothing_behind(library: Library) -> None:
    alice = await library.hs.register("alice")
    transport = library.http.connect()
    head = (
        f"POST {OLD}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\nContent-Length: 9000000\r\n"
    )
    transport.protocol.dataReceived(head.encode() + b"\r\n" + bytes(3 << 20))
    while not library.files():
        await deferLater(reactor, 0.001)  # type: ignore[arg-type]
    transport.disconnect()
    while library.files() or library.unsettled():
        await deferLater(reactor, 0.001)  # type: ignore[arg-type]
    assert library.hs.rows("SELECT * FROM media") == []


async def test_a_user_has_a_quota(start: Any) -> None:
    library = await start("media_upload_limits: [{time_period: 1h, max_size: 10K}]")
    alice, bob = await library.hs.register("alice"), await library.hs.register("bob")
    await library.upload(alice, bytes(6_000))
    response = await library.ask("POST", f"{OLD}/upload", bytes(6_000), alice.token)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    await library.upload(alice, bytes(4_000))
    await library.upload(bob, bytes(6_000))
    assert len(library.files()) == 2


async def test_equal_content_is_stored_once(library: Library) -> None:
    alice, bob = await library.hs.register("alice"), await library.hs.register("bob")
    first, second = await library.upload(alice, b"same"), await library.upload(bob, b"same", "text/css")
    assert first != second
    assert len(library.files()) == 1
    await library.media.moderation.delete([parse(first)])
    assert (await library.download(alice, first)).status == 404
    assert (await library.download(alice, second)).body == b"same"
    await library.media.moderation.delete([parse(second)])
    assert library.files() == set()
    again = await library.upload(alice, b"same")
    assert (await library.download(alice, again)).body == b"same"


async def test_what_equals_quarantined_media_is_quarantined(start: Any) -> None:
    library, other = await start(), await start()
    alice = await library.hs.register("alice")
    image = encoded(picture(64, 64), "PNG")
    key, equal = await library.upload(alice, image), await library.upload(alice, image)
    assert (await library.thumbnail(alice, equal)).status == 200
    assert (await other.download(alice, equal)).status == 200
    assert await library.media.moderation.quarantine(parse(key), ADMIN) == 2
    later = await library.upload(alice, image)
    for one in (key, equal, later):
        assert (await library.download(alice, one)).errcode == "M_NOT_FOUND"
        assert (await library.thumbnail(alice, one)).errcode == "M_NOT_FOUND"
    while (await other.download(alice, equal)).status != 404:
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
    await library.media.moderation.release(parse(later))
    assert (await library.download(alice, key)).status == 200


async def test_protected_media_is_not_quarantined(library: Library) -> None:
    alice = await library.hs.register("alice")
    sticker, other = await library.upload(alice, b"sticker"), await library.upload(alice, b"other")
    await library.media.moderation.protect(parse(sticker), True)
    assert await library.media.moderation.quarantine(parse(sticker), ADMIN) == 0
    assert await library.media.moderation.quarantine_of_user(UserId(alice.user_id), ADMIN) == 1
    assert (await library.download(alice, sticker)).status == 200
    assert (await library.download(alice, other)).status == 404
    with pytest.raises(NotFound):
        await library.media.moderation.protect(parse("hearth.test/none"), True)


async def _announce(library: Library, user: Client) -> str:
    response = await library.ask("POST", "/_matrix/media/v1/create", b"", user.token)
    assert response.status == 200, response
    assert response.json["unused_expires_at"] > library.hs.core.clock.now_ms() + 86_000_000
    return str(response.json["content_uri"]).removeprefix("mxc://")


async def test_media_may_be_announced_first_and_uploaded_later(start: Any) -> None:
    library, other = await start(), await start()
    alice, bob = await library.hs.register("alice"), await library.hs.register("bob")
    key = await _announce(library, alice)
    early = await library.ask("GET", f"{V1}/download/{key}?timeout_ms=0", token=bob.token)
    assert (early.status, early.errcode) == (504, "M_NOT_YET_UPLOADED")
    waiting = [one.http.request("GET", f"{V1}/download/{key}", token=bob.token) for one in (library, other)]
    by_bob = await library.ask("PUT", f"{OLD}/upload/{key}", b"x", bob.token)
    assert (by_bob.status, by_bob.errcode) == (403, "M_FORBIDDEN")
    by_alice = await library.ask(
        "PUT", f"{OLD}/upload/{key}?filename=a", b"hello", alice.token, content_type="text/css"
    )
    assert (by_alice.status, by_alice.json) == (200, {})
    for one in waiting:
        response = await one
        assert (response.body, response.headers["content-type"]) == (b"hello", "text/css; charset=UTF-8")
    again = await library.ask("PUT", f"{OLD}/upload/{key}", b"other", alice.token)
    assert (again.status, again.errcode) == (409, "M_CANNOT_OVERWRITE_MEDIA")
    assert len(library.files()) == 1


async def test_of_two_uploads_to_one_announcement_one_wins(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await _announce(library, alice)
    path = f"{OLD}/upload/{key}"
    asked = [library.http.request("PUT", path, body=body, token=alice.token) for body in (b"one", b"two")]
    assert sorted([(await one).status for one in asked]) == [200, 409]
    assert len(library.files()) == 1


async def test_what_was_not_announced_cannot_be_uploaded(library: Library) -> None:
    alice = await library.hs.register("alice")
    for key in ("hearth.test/none", "elsewhere.test/none", "hearth.test/.."):
        assert (await library.ask("PUT", f"{OLD}/upload/{key}", b"x", alice.token)).errcode == "M_NOT_FOUND"


async def test_announcements_are_few_and_expire(start: Any) -> None:
    library = await start("max_pending_media_uploads: 2")
    alice, bob = await library.hs.register("alice"), await library.hs.register("bob")
    key = await _announce(library, alice)
    await _announce(library, alice)
    response = await library.ask("POST", "/_matrix/media/v1/create", b"{}", alice.token)
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert response.json["retry_after_ms"] > 0
    await _announce(library, bob)
    library.hs.rows("UPDATE media SET expires_ms = 1 WHERE uploader = %s RETURNING 1", alice.user_id)
    late = await library.ask("PUT", f"{OLD}/upload/{key}", b"x", alice.token)
    assert (late.status, late.errcode) == (404, "M_NOT_FOUND")
    assert (await library.download(alice, key)).errcode == "M_NOT_FOUND"
    await until_done(library.media.upkeep.trim_announced)
    assert len(library.hs.rows("SELECT * FROM media")) == 1
    await _announce(library, alice)


async def test_a_thumbnail_is_made_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, encoded(picture(400, 200), "JPEG"), "image/jpeg")
    asked = [
        library.http.request("GET", f"{V1}/thumbnail/{key}?width=300&height=200", token=alice.token) for _ in "abc"
    ]
    answers = [await one for one in asked]
    assert {(answer.status, answer.headers["content-type"]) for answer in answers} == {(200, "image/jpeg")}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].headers["content-disposition"] == 'inline; filename="thumbnail.jpeg"'
    assert library.hs.rows("SELECT width, height, method, length FROM media_thumbnails") == [
        (320, 240, "scale", len(answers[0].body))
    ]
    assert len(library.files()) == 2
    assert library.unsettled() == []


async def test_a_thumbnail_survives_a_restart_and_the_loss_of_its_file(start: Any) -> None:
    library = await start()
    alice = await library.hs.register("alice")
    key = await library.upload(alice, encoded(picture(400, 200), "PNG"))
    first = await library.thumbnail(alice, key)
    restarted = await start()
    assert (await restarted.thumbnail(alice, key)).body == first.body
    ((name,),) = library.hs.rows("SELECT name FROM media_thumbnails")
    library.media.files.path(name).unlink()
    again = await start()
    assert (await again.thumbnail(alice, key)).body == first.body
    ((newer,),) = library.hs.rows("SELECT name FROM media_thumbnails")
    assert newer != name
    assert library.media.files.path(newer).exists()


async def test_a_small_image_is_its_own_thumbnail(start: Any) -> None:
    library = await start()
    alice = await library.hs.register("alice")
    image = encoded(picture(20, 20), "PNG")
    key = await library.upload(alice, image, "application/octet-stream")
    for one in (library, await start()):
        response = await one.thumbnail(alice, key)
        assert (response.body, response.headers["content-type"]) == (image, "image/png")
    assert len(library.files()) == 1


async def test_an_animation_moves_if_it_is_asked_to(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, animated("GIF"), "image/gif")
    still = await library.thumbnail(alice, key)
    moving = await library.thumbnail(alice, key, "width=32&height=32&method=crop&animated=true")
    assert (still.headers["content-type"], moving.headers["content-type"]) == ("image/png", "image/webp")


async def test_what_has_no_thumbnail_says_so(library: Library) -> None:
    alice = await library.hs.register("alice")
    truncated = encoded(picture(40, 40), "PNG")[:500]
    for body, status, errcode in (
        (b"<svg/>", 400, "M_UNKNOWN"), (truncated, 400, "M_UNKNOWN"), (png_bomb(), 413, "M_TOO_LARGE"),
    ):  # fmt: skip
        key = await library.upload(alice, body, "image/png")
        for _ in range(2):
            response = await library.thumbnail(alice, key)
            assert (response.status, response.errcode) == (status, errcode)
    assert library.unsettled() == []


async def test_a_thumbnail_is_asked_for_properly(library: Library) -> None:
    alice = await library.hs.register("alice")
    for query, errcode in (
        ("width=32", "M_MISSING_PARAM"), ("height=32", "M_MISSING_PARAM"), ("width=a&height=1", "M_INVALID_PARAM"),
        ("width=-1&height=1", "M_INVALID_PARAM"), ("width=0&height=1", "M_INVALID_PARAM"),
        ("width=1&height=1&method=stretch", "M_INVALID_PARAM"), ("width=1&height=1&animated=1", "M_INVALID_PARAM"),
    ):  # fmt: skip
        response = await library.thumbnail(alice, "hearth.test/abc", query)
        assert (response.status, response.errcode) == (400, errcode), query


async def test_what_died_between_file_and_row_is_swept_up(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, b"kept")
    lost = library.media.files.begin().finish(b"lost")
    fresh = library.media.files.begin().finish(b"fresh")
    ((kept,),) = library.hs.rows("SELECT name FROM media_files")
    # Its row was committed, but the process died before it took the marker away.
    (library.hs.core.config.media_path / "unsettled" / kept).touch()
    for name in (lost.name, kept):
        os.utime(library.media.files.path(name), (1, 1))
    await library.media.upkeep.sweep()
    assert library.files() == {kept, fresh.name}
    assert library.unsettled() == [fresh.name]
    assert (await library.download(alice, key)).body == b"kept"


async def test_media_that_nobody_looks_at_goes(start: Any) -> None:
    library = await start("media_retention: {local_media_lifetime: 1d, remote_media_lifetime: 1d}")
    alice = await library.hs.register("alice")
    seen, unseen = await library.upload(alice, b"seen"), await library.upload(alice, b"unseen")
    protected = await library.upload(alice, b"protected")
    await library.media.moderation.protect(parse(protected), True)
    library.hs.rows("UPDATE media SET created_ms = 1 RETURNING 1")
    await library.download(alice, seen)
    await library.media.repository.write_accesses()
    for job in library.media.upkeep.jobs().values():
        await until_done(job)
    assert [(await library.download(alice, key)).status for key in (seen, unseen, protected)] == [200, 404, 200]
    assert len(library.files()) == 2


async def test_thumbnails_that_nobody_asks_for_go(library: Library) -> None:
    alice = await library.hs.register("alice")
    key = await library.upload(alice, encoded(picture(400, 200), "PNG"))
    await library.thumbnail(alice, key)
    library.hs.rows("UPDATE media_thumbnails SET last_access_ms = 1 RETURNING 1")
    assert await library.media.upkeep.trim_thumbnails() == 1
    assert len(library.files()) == 1
    assert (await library.thumbnail(alice, key, "width=31&height=31")).status == 200


@define(eq=False)
class Elsewhere:
    """Another server, with one file."""

    fetched: int = 0
    media: Media | None = None

    async def fetch(self, key: MediaKey, timeout_ms: int) -> None:
        assert self.media is not None
        if key.media_id != "there":
            raise NotFound
        self.fetched += 1
        await self.media.uploads.keep(key, _chunks(b"from elsewhere"), Description(content_type="text/plain"))


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_media_of_other_servers_is_fetched_once(start: Any) -> None:
    elsewhere = Elsewhere()
    library = await start("prevent_media_downloads_from: [blocked.test]", elsewhere)
    elsewhere.media = library.media
    alice = await library.hs.register("alice")
    for _ in range(2):
        assert (await library.download(alice, "elsewhere.test/there")).body == b"from elsewhere"
    assert elsewhere.fetched == 1
    assert (await library.download(alice, "elsewhere.test/other")).errcode == "M_NOT_FOUND"
    assert (await library.download(alice, "blocked.test/there")).errcode == "M_NOT_FOUND"
    public = await library.ask("GET", f"{OLD}/download/third.test/there?allow_remote=false")
    assert (public.status, elsewhere.fetched) == (404, 1)


async def test_a_server_may_have_no_media(start: Any) -> None:
    library = await start("enable_media_repo: false")
    alice = await library.hs.register("alice")
    response = await library.ask("POST", f"{OLD}/upload", b"x", alice.token)
    assert (response.status, response.errcode) == (404, "M_UNRECOGNIZED")


def test_a_path_is_never_made_of_what_a_client_says(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        MediaKey.parse("hearth.test", "../../etc/passwd")
