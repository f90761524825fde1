"""What the operator decides about media. Names and defaults are those of Synapse's configuration."""

from attrs import frozen

from homeserver.services.media.thumbnail_choice import Box

MB = 1 << 20
DAY_MS = 86_400_000


@frozen
class UploadQuota:
    """At most so much in the last so many milliseconds, for each user."""

    period_ms: int
    max_bytes: int


@frozen(kw_only=True)
class MediaSettings:
    max_upload_bytes: int = 50 * MB
    quotas: tuple[UploadQuota, ...] = ()
    max_announced: int = 5
    announced_for_ms: int = DAY_MS
    # Whether new media is for signed-in users only.
    authenticated: bool = True
    blocked_servers: frozenset[str] = frozenset()


@frozen(kw_only=True)
class ThumbnailSettings:
    """`dynamic`: make any size that is asked for, not only `sizes`."""

    sizes: tuple[Box, ...] = (
        Box(32, 32, "crop"), Box(96, 96, "crop"), Box(320, 240, "scale"), Box(640, 480, "scale"),
        Box(800, 600, "scale"),
    )  # fmt: skip
    dynamic: bool = False
    max_image_pixels: int = 32 * MB


@frozen(kw_only=True)
class RetentionSettings:
    """How long media is kept that nobody looks at. None: for ever."""

    local_ms: int | None = None
    remote_ms: int | None = None
