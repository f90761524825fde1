"""Previews of links: what a page says of itself, with its image stored here so that nobody asks the page's server.

Source: client-server API, GET /media/preview_url.
"""

import fnmatch
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urldefrag, urlsplit

import orjson
from attrs import frozen
from twisted.internet.defer import DeferredSemaphore

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.media import image_kinds
from homeserver.services.media.files import InThread
from homeserver.services.media.pages import decode, scan
from homeserver.services.media.preview_graph import image_url, open_graph, shortened
from homeserver.services.media.uploads import Description, Uploads
from homeserver.web.agent import Bounds, Fetched, FetchFailed, OutgoingHttp
from matrix.errors import Forbidden, InvalidParam, MatrixError
from matrix.ids import UserId
from storage import url_previews as rows
from storage.database import Database

# As Synapse, where the page does not say.
LIFETIME_MS = 3_600_000
# A page that cannot be had is not asked again at once.
FAILED_S = 120.0
# Pages fetched at once, and how many wait for one.
MAX_AT_ONCE, MAX_WAITING = 10, 20
_TIMEOUT_S, _MAX_REDIRECTS = 15.0, 5
_HTML = ("text/html", "application/xhtml")

Properties = dict[str, Any]


@frozen(kw_only=True)
class PreviewSettings:
    """`blocked`: patterns by part of a URL (scheme, netloc, path ...): globs, or expressions if they begin with ^."""

    max_page_bytes: int = 10 << 20
    max_image_pixels: int = 32 << 20
    languages: tuple[str, ...] = ("en",)
    blocked: tuple[Mapping[str, str], ...] = ()


class Previews:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        http: OutgoingHttp,
        uploads: Uploads,
        in_thread: InThread,
        settings: PreviewSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._http = http
        self._uploads = uploads
        self._in_thread = in_thread
        self._settings = settings
        self._recent: Lru[str, bytes] = Lru("url_previews", 1_000, clock, LIFETIME_MS / 1000)
        self._failed: Lru[str, MatrixError] = Lru("failed_url_previews", 1_000, clock, FAILED_S)
        self._making = Linearizer(max_waiting=MAX_WAITING)
        self._slots = DeferredSemaphore(MAX_AT_ONCE)

    async def get(self, user_id: UserId, url: str) -> bytes:
        """The properties as JSON. Raises: InvalidParam, Forbidden, LimitExceeded, MatrixError of status 502."""
        url = urldefrag(_checked(url)).url
        self._check_allowed(url)
        async with self._making.of(url):
            json = self._recent.get(url)
            if json is None:
                json = await self._get(user_id, url)
                self._recent.set(url, json)
        return json

    async def close(self) -> None:
        """Closes the connections that are kept for the next page."""
        await self._http.close()

    def _check_allowed(self, url: str) -> None:
        if any(matches(urlsplit(url), entry) for entry in self._settings.blocked):
            raise Forbidden("This page is not previewed", "M_UNKNOWN")

    async def _get(self, user_id: UserId, url: str) -> bytes:
        now_ms = self._clock.now_ms()
        stored = await self._database.read(rows.find_preview, url, now_ms)
        if stored is not None:
            return stored.encode()
        failed = self._failed.get(url)
        if failed is not None:
            raise failed
        await self._slots.acquire()
        try:
            json = orjson.dumps(await self._preview(user_id, url))
        except FetchFailed as error:
            failed = MatrixError(502, "M_UNKNOWN", f"The page could not be fetched: {error}"[:300])
            self._failed.set(url, failed)
            raise failed from error
        finally:
            self._slots.release()
        await self._database.run(rows.put_preview, url, json.decode(), now_ms + LIFETIME_MS)
        return json

    async def _preview(self, user_id: UserId, url: str) -> Properties:
        fetched = await self._fetch(url, "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.5")
        if fetched.status != 200:
            raise FetchFailed(f"status {fetched.status}")
        # Where redirects led is no more allowed than where they began.
        self._check_allowed(fetched.url)
        content_type = fetched.headers.get("content-type", "").lower()
        if image_kinds.format_of(fetched.body) is not None:
            name = unquote(urlsplit(fetched.url).path.rpartition("/")[2])
            return {"og:description": shortened(name, 200), **(await self._stored_image(user_id, fetched))}
        if not content_type.startswith(_HTML):
            return {}
        found: Properties = dict(await self._in_thread(_read_page, fetched.body, content_type))
        return await self._with_image(user_id, fetched.url, found)

    async def _with_image(self, user_id: UserId, page_url: str, found: Properties) -> Properties:
        """The properties with the image stored here, or without any: clients cannot show what is elsewhere."""
        image = image_url(page_url, found.get("og:image", ""))
        without = {name: value for name, value in found.items() if name.split(":")[:2] != ["og", "image"]}
        if image is None or "og:image" not in found:
            return without
        try:
            self._check_allowed(image)
            fetched = await self._fetch(image, "image/*")
            self._check_allowed(fetched.url)
        except (FetchFailed, Forbidden):
            return without
        return {**without, **(await self._stored_image(user_id, fetched) if fetched.status == 200 else {})}

    async def _stored_image(self, user_id: UserId, fetched: Fetched) -> Properties:
        """The properties of an image that is stored here now; none if it cannot be shown."""
        kind = image_kinds.format_of(fetched.body)
        if kind is None:
            return {}
        try:
            width, height = await self._in_thread(_size_of, fetched.body, self._settings.max_image_pixels)
            about = Description(content_type=image_kinds.CONTENT_TYPES[kind], length=len(fetched.body))
            key = await self._uploads.upload(user_id, _whole(fetched.body), about, of_preview=True)
        except (image_kinds.NotAnImage, image_kinds.ImageTooLarge, MatrixError):
            return {}
        return {
            "og:image": key.uri,
            "og:image:type": image_kinds.CONTENT_TYPES[kind],
            "og:image:width": width,
            "og:image:height": height,
            "matrix:image:size": len(fetched.body),
        }

    async def _fetch(self, url: str, accept: str) -> Fetched:
        headers = {"Accept": accept, "Accept-Language": ", ".join(self._settings.languages)}
        bounds = Bounds(_TIMEOUT_S, self._settings.max_page_bytes, _MAX_REDIRECTS)
        return await self._http.get(url, headers=headers, bounds=bounds)


def matches(url: SplitResult, entry: Mapping[str, str]) -> bool:
    """Do all the entry's patterns match their parts of the URL? As Synapse's `url_preview_url_blacklist`."""
    if not entry:
        return False
    for part, pattern in entry.items():
        value = _part(url, part)
        if value is None:
            return False
        is_expression = pattern.startswith("^")
        if not (re.match(pattern, value) if is_expression else fnmatch.fnmatch(value, pattern)):
            return False
    return True


def _part(url: SplitResult, name: str) -> str | None:
    if name not in ("scheme", "netloc", "path", "query", "fragment", "username", "password", "hostname", "port"):
        return None
    value = getattr(url, name)
    return None if value is None else str(value)


def _checked(url: str) -> str:
    """Raises: InvalidParam for what is no web page's URL."""
    try:
        split = urlsplit(url)
        is_web = split.scheme in ("http", "https") and bool(split.hostname) and (split.port or 1) > 0
    except ValueError:
        is_web = False
    if not is_web:
        raise InvalidParam("url is not one of a web page")
    return url


def _read_page(body: bytes, content_type: str) -> dict[str, str]:
    return open_graph(scan(decode(body, content_type)))


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _size_of(data: bytes, max_pixels: int) -> tuple[int, int]:
    # Here, not above: with its decoders, only where somebody wants a preview.
    from homeserver.services.media import images

    return images.size_of(data, max_pixels)
