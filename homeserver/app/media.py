"""Media, wired."""

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from federation.inbound.media import FederationMediaApi
from federation.outbound.client import FederationClient
from homeserver.app.core import Core
from homeserver.app.settings import Limits
from homeserver.client_api.media import MediaApi, UploadApi
from homeserver.client_api.media_legacy import LegacyMediaApi
from homeserver.client_api.media_previews import PreviewApi
from homeserver.client_api.media_replies import MediaReplies
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.moderation import MediaModeration
from homeserver.services.media.previews import Previews, PreviewSettings
from homeserver.services.media.remote import RemoteMedia
from homeserver.services.media.repository import Announcer, Remote, Repository
from homeserver.services.media.settings import MediaSettings, RetentionSettings, ThumbnailSettings, UploadQuota
from homeserver.services.media.thumbnail_choice import Box
from homeserver.services.media.thumbnails import Thumbnails
from homeserver.services.media.upkeep import MediaUpkeep, until_done
from homeserver.services.media.uploads import Uploads
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, OutgoingHttp

P = ParamSpec("P")
T = TypeVar("T")

ACCESS_EVERY_S = 60.0
UPKEEP_EVERY_S = 3600.0
# A file that another server has put elsewhere: how long until it begins to come, and for each pause.
LINK_BOUNDS = Bounds(timeout_s=30.0, max_redirects=3)


@frozen(kw_only=True)
class Media:
    files: Files
    in_thread: InThread
    repository: Repository
    uploads: Uploads
    thumbnails: Thumbnails
    moderation: MediaModeration
    upkeep: MediaUpkeep
    previews: Previews | None
    # To where other servers say that their media is.
    links: OutgoingHttp | None

    async def close(self) -> None:
        """Closes connections."""
        for part in (self.previews, self.links):
            if part is not None:
                await part.close()


def build_media(core: Core, remote: Remote | None = None, client: FederationClient | None = None) -> Media:
    """`remote`, or else `client`, fetches media of other servers; without either there is none of theirs."""
    database, clock, options = core.storage.database, core.clock, core.config.media
    files, in_thread = Files(core.config.media_path), _in_thread(core)
    announcer = Announcer(core.storage.committer)
    settings = MediaSettings(
        max_upload_bytes=options.max_upload_size,
        quotas=tuple(UploadQuota(limit.time_period, limit.max_size) for limit in options.media_upload_limits),
        max_announced=options.max_pending_media_uploads,
        announced_for_ms=options.unused_expiration_time,
        authenticated=options.enable_authenticated_media,
        blocked_servers=frozenset(options.prevent_media_downloads_from),
    )
    thumbnails = ThumbnailSettings(
        sizes=tuple(Box(size.width, size.height, size.method) for size in options.thumbnail_sizes),
        dynamic=options.dynamic_thumbnails,
        max_image_pixels=options.max_image_pixels,
    )
    moderation = MediaModeration(database=database, clock=clock, files=files, in_thread=in_thread, announcer=announcer)
    uploads = Uploads(
        database=database,
        clock=clock,
        files=files,
        in_thread=in_thread,
        announcer=announcer,
        settings=settings,
        server_name=core.server_name,
    )
    rate = (options.remote_media_download_per_second, options.remote_media_download_burst_count)
    fetch_limit = RateLimit(*rate, clock)
    links = None
    if client is not None and remote is None:
        links = _outgoing(core)
        remote = _remote(core, uploads, client, links)
    media = Media(
        links=links,
        previews=_previews(core, uploads, in_thread),
        files=files,
        in_thread=in_thread,
        repository=Repository(
            database=database,
            clock=clock,
            is_local=core.is_local,
            settings=settings,
            remote=remote,
            fetch_limit=fetch_limit,
        ),
        uploads=uploads,
        thumbnails=Thumbnails(database=database, clock=clock, files=files, in_thread=in_thread, settings=thumbnails),
        moderation=moderation,
        upkeep=MediaUpkeep(
            database=database,
            clock=clock,
            files=files,
            in_thread=in_thread,
            moderation=moderation,
            server_name=core.server_name,
            settings=RetentionSettings(
                local_ms=options.media_retention.local_media_lifetime,
                remote_ms=options.media_retention.remote_media_lifetime,
            ),
        ),
    )
    core.storage.read_by(media.repository.read_stream)
    core.tasks.repeat("media.accesses", ACCESS_EVERY_S, media.repository.write_accesses)
    for name, job in media.upkeep.jobs().items():
        core.tasks.repeat(name, UPKEEP_EVERY_S, lambda job=job: until_done(job))  # type: ignore[misc]
    return media


def _outgoing(core: Core) -> OutgoingHttp:
    options = core.config.federation
    rules = AddressRules.parse(options.ip_range_blacklist, options.ip_range_whitelist)
    return OutgoingHttp(reactor=core.reactor, rules=rules)


def _remote(core: Core, uploads: Uploads, client: FederationClient, links: OutgoingHttp) -> RemoteMedia:
    most = core.config.media.max_upload_size
    return RemoteMedia(
        client=client,
        uploads=uploads,
        fetch_link=lambda url: links.stream(url, bounds=LINK_BOUNDS),
        clock=core.clock,
        tasks=core.tasks,
        max_bytes=most,
    )


def _previews(core: Core, uploads: Uploads, in_thread: InThread) -> Previews | None:
    """None unless the operator has switched them on."""
    options = core.config.media
    if not options.url_preview_enabled:
        return None
    blocked = options.url_preview_ip_range_blacklist
    rules = AddressRules.parse(
        core.config.federation.ip_range_blacklist if blocked is None else blocked,
        options.url_preview_ip_range_whitelist,
    )
    return Previews(
        database=core.storage.database,
        clock=core.clock,
        http=OutgoingHttp(reactor=core.reactor, rules=rules, user_agent="Hearth (bot; link preview)"),
        uploads=uploads,
        in_thread=in_thread,
        settings=PreviewSettings(
            max_page_bytes=options.max_spider_size,
            max_image_pixels=options.max_image_pixels,
            languages=options.url_preview_accept_language,
            blocked=tuple(
                {str(part): str(pattern) for part, pattern in entry.items()}
                for entry in options.url_preview_url_blacklist
            ),
        ),
    )


def media_apis(core: Core, media: Media) -> Sequence[object]:
    if not core.config.media.enable_media_repo:
        return []
    replies = MediaReplies(files=media.files, in_thread=media.in_thread)
    repository, thumbnails = media.repository, media.thumbnails
    apis: list[object] = [] if media.previews is None else [PreviewApi(previews=media.previews)]
    return [
        *apis,
        UploadApi(uploads=media.uploads, create_limit=Limits(core.clock).make(core.config.ratelimits.rc_media_create)),
        MediaApi(
            repository=repository,
            thumbnails=thumbnails,
            replies=replies,
            max_upload_bytes=core.config.media.max_upload_size,
        ),
        LegacyMediaApi(repository=repository, thumbnails=thumbnails, replies=replies),
    ]


def media_apis_for_servers(core: Core, media: Media) -> Sequence[object]:
    if not core.config.media.enable_media_repo:
        return []
    return [
        FederationMediaApi(
            repository=media.repository,
            thumbnails=media.thumbnails,
            files=media.files,
            in_thread=media.in_thread,
            server_name=core.server_name,
        )
    ]


def _in_thread(core: Core) -> InThread:
    def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        return deferToThreadPool(core.reactor, core.reactor.getThreadPool(), function, *args, **kwargs)

    return in_thread
