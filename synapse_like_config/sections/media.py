"""Files: uploads, thumbnails, files of other servers, previews of links."""

from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from matrix.ids import ServerName
from synapse_like_config.reading import option, required, section
from synapse_like_config.units import BadValue, Bytes, Milliseconds, Network

_MB = 1 << 20


@frozen
class ThumbnailSize:
    """A thumbnail that is made of every image."""

    width: int = required("In pixels.")
    height: int = required("In pixels.")
    method: Literal["crop", "scale"] = required("crop: this size exactly; scale: within it.")


@frozen
class MediaRetention:
    """How long files are kept since they were last looked at."""

    local_media_lifetime: Milliseconds | None = option(None, "Files of our users. Null: for ever.")
    remote_media_lifetime: Milliseconds | None = option(None, "Copies of files of other servers. Null: for ever.")


@frozen
class UploadLimit:
    """How much a user may upload in a time."""

    time_period: Milliseconds = required("In which time.")
    max_size: Bytes = required("How much.")


_THUMBNAILS = (
    ThumbnailSize(32, 32, "crop"),
    ThumbnailSize(96, 96, "crop"),
    ThumbnailSize(320, 240, "scale"),
    ThumbnailSize(640, 480, "scale"),
    ThumbnailSize(800, 600, "scale"),
)


@frozen
class Media:
    """Files."""

    enable_media_repo: bool = option(True, "Whether users may upload and download files.")
    enable_authenticated_media: bool = option(
        True, "Whether files newer than this option are for signed-in users only."
    )
    media_store_path: Path | None = option(None, "The directory of the files. Null: `media` in the data directory.")
    max_upload_size: Bytes = option(Bytes(50 * _MB), "The largest upload, and the largest file fetched of others.")
    media_upload_limits: tuple[UploadLimit, ...] = option((), "How much a user may upload in a time.")
    max_pending_media_uploads: int = option(5, "How many uploads a user may announce and not yet have made.")
    unused_expiration_time: Milliseconds = option(Milliseconds(86_400_000), "How long an announced upload may wait.")
    prevent_media_downloads_from: tuple[ServerName, ...] = option((), "Servers whose files are not fetched.")
    remote_media_download_per_second: Bytes = option(Bytes(87 << 10), "How much is fetched of others in the long run.")
    remote_media_download_burst_count: Bytes = option(Bytes(500 * _MB), "How much is fetched of others at once.")
    max_image_pixels: Bytes = option(Bytes(32 * _MB), "The largest image of which thumbnails are made, in pixels.")
    dynamic_thumbnails: bool = option(False, "Whether thumbnails of any size are made when they are asked for.")
    thumbnail_sizes: tuple[ThumbnailSize, ...] = option(_THUMBNAILS, "Thumbnails that are made of every image.")
    media_retention: MediaRetention = section(MediaRetention, "How long files are kept.")
    url_preview_enabled: bool = option(False, "Whether links are previewed: the server then visits them.")
    url_preview_ip_range_blacklist: tuple[Network, ...] | None = option(
        None, "Networks whose pages are not previewed. Null: those of `ip_range_blacklist`."
    )
    url_preview_ip_range_whitelist: tuple[Network, ...] = option((), "Networks previewed all the same.")
    url_preview_url_blacklist: tuple[dict[str, Any], ...] = option(
        (),
        "Pages not to preview: patterns or, after ^, expressions for parts of their URLs (scheme, netloc, path ...).",
    )
    url_preview_accept_language: tuple[str, ...] = option(("en",), "Languages to ask pages for.")
    max_spider_size: Bytes = option(Bytes(10 * _MB), "The most to read of a page.")

    def check(self) -> None:
        if not 0 < self.max_upload_size <= 1 << 40:
            raise BadValue("must be above 0 and at most 1T", key="max_upload_size")
