"""Finding media: whose it is, whether it may be given, and waiting for what is announced but not yet uploaded.

Source: client-server API, "Content repository".
"""

from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.settings import MediaSettings
from matrix.errors import MatrixError, NotFound
from matrix.ids import ServerName
from storage import media as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.media import Media, StoredFile

MAX_CACHED = 20_000
# Access times that are gathered before they are written; beyond it the oldest media of the gathering has waited.
MAX_GATHERED = 10_000


class NotYetUploaded(MatrixError):
    def __init__(self) -> None:
        super().__init__(504, "M_NOT_YET_UPLOADED", "Media has not been uploaded yet")


class Remote(Protocol):
    """Media of other servers."""

    async def fetch(self, key: MediaKey, timeout_ms: int) -> None:
        """Stores a copy of the media here (`Uploads.keep`). Raises: MatrixError, NotFound or of status 502 or 504."""


class IsLocal(Protocol):
    def __call__(self, server_name: str) -> bool: ...


@frozen(kw_only=True)
class Asked:
    """How media is asked for. `is_public`: without a token; `wait_ms`: how long to wait for an upload or a server.

    `client_ip`: by whom, where it counts.
    """

    is_public: bool = False
    client_ip: str | None = None
    allow_remote: bool = True
    wait_ms: int = 20_000


@frozen
class Found:
    """Media with its file, which may be given."""

    key: MediaKey
    media: Media
    file: StoredFile


class Repository:
    """`read_stream` reads the stream. `fetch_limit`: bytes of other servers' media, by address of who asks."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        is_local: IsLocal,
        settings: MediaSettings,
        remote: Remote | None = None,
        fetch_limit: RateLimit | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._is_local = is_local
        self._settings = settings
        self._remote = remote
        self._fetch_limit = fetch_limit
        self._media: Lru[MediaKey, Found] = Lru("media", MAX_CACHED)
        self._waiting: dict[MediaKey, list[Deferred[None]]] = {}
        self._accessed: dict[MediaKey, int] = {}

    async def find(self, key: MediaKey, asked: Asked) -> Found:
        """Media that may be given. Raises: NotFound, NotYetUploaded, MatrixError of what asks other servers."""
        found = self._media.get(key) or await self._load(key, asked)
        if found.media.quarantined:
            raise NotFound("The media is in quarantine")
        if asked.is_public and self._settings.authenticated and found.media.authenticated:
            raise NotFound("The media is for signed-in users: ask /_matrix/client/v1/media")
        if len(self._accessed) < MAX_GATHERED:
            self._accessed[key] = found.file.nid
        return found

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is not Kind.CACHE or "media" not in (entry.body or {}):
                continue
            uploaded = entry.body["media"]
            if uploaded is None:
                self._media.clear()
                continue
            for waiting in self._waiting.pop(MediaKey(ServerName(uploaded[0]), uploaded[1]), ()):
                waiting.callback(None)

    async def write_accesses(self) -> None:
        """Writes what was looked at since the last time."""
        accessed, self._accessed = self._accessed, {}
        if accessed:
            keys = [(key.origin, key.media_id) for key in sorted(accessed)]
            files = sorted(set(accessed.values()))
            await self._database.run(rows.accessed, keys, files, self._clock.now_ms())

    async def _load(self, key: MediaKey, asked: Asked) -> Found:
        version = self._media.version
        media = await self._database.read(rows.find_media, key.origin, key.media_id)
        if media is None and not self._is_local(key.origin):
            media = await self._fetch(key, asked)
        if media is not None and media.file is None:
            media = await self._wait(key, asked.wait_ms)
        if media is None or media.file is None:
            raise NotFound("There is no such media")
        found = Found(key, media, media.file)
        self._media.set_if_unchanged(key, found, version)
        return found

    async def _fetch(self, key: MediaKey, asked: Asked) -> Media | None:
        if self._remote is None or not asked.allow_remote or key.origin in self._settings.blocked_servers:
            return None
        if self._fetch_limit is not None:
            self._fetch_limit.check(asked.client_ip)
        await self._remote.fetch(key, asked.wait_ms)
        media = await self._database.read(rows.find_media, key.origin, key.media_id)
        if self._fetch_limit is not None and media is not None and media.file is not None:
            # How large it is nobody knew before: what is above the limit has to wait for longer.
            self._fetch_limit.owe(asked.client_ip, media.file.length)
        return media

    async def _wait(self, key: MediaKey, wait_ms: int) -> Media | None:
        """The media as soon as it is uploaded. Raises: NotYetUploaded; NotFound when it is too late for it."""
        uploaded: Deferred[None] = Deferred()
        self._waiting.setdefault(key, []).append(uploaded)
        try:
            media = await self._database.read(rows.find_media, key.origin, key.media_id)
            if media is None or media.file is not None:
                return media
            if media.expires_ms is not None and media.expires_ms <= self._clock.now_ms():
                raise NotFound("The media was not uploaded in time")
            await self._clock.timeout(uploaded, wait_ms / 1000)
        except TimeoutError as error:
            raise NotYetUploaded from error
        finally:
            self._forget(key, uploaded)
        return await self._database.read(rows.find_media, key.origin, key.media_id)

    def _forget(self, key: MediaKey, uploaded: "Deferred[None]") -> None:
        waiting = self._waiting.get(key, [])
        if uploaded in waiting:
            waiting.remove(uploaded)
        if not waiting:
            self._waiting.pop(key, None)


class Announcer:
    """Tells all processes what their caches of media must know."""

    def __init__(self, commit: Committer) -> None:
        self._commit = commit

    async def changed(self) -> None:
        """Media was quarantined, released, protected or deleted."""
        await self._tell(None)

    async def uploaded(self, key: MediaKey) -> None:
        """Announced media has come."""
        await self._tell([key.origin, key.media_id])

    async def _tell(self, body: list[str] | None) -> None:
        change = Change()
        change.announce(Entry(Kind.CACHE, body={"media": body}))
        await self._commit(change)
