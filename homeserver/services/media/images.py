"""Thumbnails of images that nobody vouches for. Blocking: for threads.

What an image claims of itself is not believed: its format is that of its first bytes, and its size is read and
bounded before a pixel is decoded.
"""

import io
from typing import Any

from attrs import frozen
from PIL import Image, ImageSequence

from homeserver.services.media.image_kinds import CONTENT_TYPES, ImageTooLarge, NotAnImage, format_of
from homeserver.services.media.thumbnail_choice import Box, Fit, fit

# Each scan of a progressive JPEG is a pass over all its pixels: so many pixels in all (ten scans are usual).
MAX_SCANNED_PIXELS = 1_500_000_000
# Frames times pixels, of the image and of its thumbnail. Beyond it an animation stands still.
MAX_ANIMATED_PIXELS = 150_000_000
MAX_ANIMATED_OUTPUT = 15_000_000
MAX_FRAMES = 300
# A profile of an ordinary colour space; larger ones are not worth their bytes.
MAX_PROFILE_BYTES = 8192
_JPEG_QUALITY = 80

# What a thumbnail may be: the rest is made into one of these. Source: GET /media/thumbnail, Content-Type.
_GIVEN_AS_THEY_ARE = frozenset({"JPEG", "PNG", "GIF", "WEBP"})
# What EXIF says is to be done with the image. Source: EXIF 2.3, "Orientation".
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


@frozen
class Rendered:
    """A thumbnail. `data` is None if the image itself is to be given."""

    data: bytes | None
    content_type: str


def size_of(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height as they are to be shown. Raises: NotAnImage, ImageTooLarge."""
    try:
        image = _open(data, max_pixels)
        return _upright(image.size, _orientation(image))
    except ImageTooLarge:
        raise
    except Exception as error:
        # See `render`.
        raise NotAnImage(type(error).__name__) from error


def render(data: bytes, box: Box, max_pixels: int) -> Rendered:
    """A thumbnail of the image in `data`. Raises: NotAnImage, ImageTooLarge."""
    try:
        return _render(data, box, max_pixels)
    except (ImageTooLarge, Image.DecompressionBombError) as error:
        raise ImageTooLarge from error
    except Exception as error:
        # Decoders of broken files fail in any way they like: OSError, SyntaxError, struct.error, IndexError ...
        raise NotAnImage(type(error).__name__) from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    kind = format_of(data)
    if kind is None:
        raise NotAnImage("no known format")
    if kind == "WEBP":
        # Its decoder allocates the whole canvas when it is opened.
        _check_size(*_webp_canvas(data), max_pixels)
    image = Image.open(io.BytesIO(data), formats=(kind,))
    _check_size(*image.size, max_pixels)
    if kind == "JPEG" and image.width * image.height * data.count(b"\xff\xda") > MAX_SCANNED_PIXELS:
        raise ImageTooLarge
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLarge
    if width < 1 or height < 1:
        raise NotAnImage("empty")


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Source: WebP Container Specification; RFC 6386, 9.1; WebP Lossless Bitstream Specification, 3."""
    chunk, head = data[12:16], data[16:40]
    if len(head) < 14:
        raise NotAnImage("truncated")
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[8:11], "little"), 1 + int.from_bytes(head[11:14], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(head[5:9], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[10:12], "little") & 0x3FFF, int.from_bytes(head[12:14], "little") & 0x3FFF


def _render(data: bytes, box: Box, max_pixels: int) -> Rendered:
    image = _open(data, max_pixels)
    kind = str(image.format)
    orientation = _orientation(image)
    size = _upright(image.size, orientation)
    fitted = fit(*size, box)
    is_animated = bool(getattr(image, "is_animated", False))
    if fitted is None:
        if kind in _GIVEN_AS_THEY_ARE and (box.animated or not is_animated):
            return Rendered(None, CONTENT_TYPES[kind])
        fitted = Fit(*size, (0, 0, *size))
    if box.animated and is_animated and _may_be_animated(image, fitted):
        return _animation(image, fitted, max_pixels)
    still = _turned(_resized(image, _laid(fitted, orientation)), orientation)
    return _encoded(still, kind, image)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation >= 5 and orientation in _TURNS else size


def _laid(fitted: Fit, orientation: int) -> Fit:
    """The fit for the image as it lies in its file. The region is in its middle, so turning it is swapping axes."""
    if orientation < 5 or orientation not in _TURNS:
        return fitted
    left, top, right, bottom = fitted.region
    return Fit(fitted.height, fitted.width, (top, left, bottom, right))


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _resized(image: Image.Image, fitted: Fit) -> Image.Image:
    full = image.size
    left, top, right, bottom = fitted.region
    if image.format == "JPEG":
        # The decoder itself shrinks by 2, 4 or 8, where the thumbnail is so much smaller.
        image.draft(None, (int(fitted.width * full[0] / (right - left)), int(fitted.height * full[1] / (bottom - top))))
    x, y = image.width / full[0], image.height / full[1]
    region = left * x, top * y, min(right * x, image.width), min(bottom * y, image.height)
    return _plain(image).resize((fitted.width, fitted.height), Image.Resampling.LANCZOS, box=region, reducing_gap=2.0)


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that can be resized and written: L, RGB or RGBA."""
    if image.mode in ("L", "RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode in ("LA", "La", "PA", "RGBa", "RGBA") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode.startswith("I;16") or image.mode == "I":
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("L" if image.mode in ("1", "F") else "RGB")


def _encoded(still: Image.Image, kind: str, source: Image.Image) -> Rendered:
    if still.mode == "RGBA" and _is_opaque(still):
        still = still.convert("RGB")
    profile = source.info.get("icc_profile")
    options: dict[str, Any] = {}
    if isinstance(profile, bytes) and len(profile) <= MAX_PROFILE_BYTES and source.mode in ("RGB", "RGBA", "P"):
        options["icc_profile"] = profile
    if still.mode == "RGBA" and kind in ("WEBP", "AVIF"):
        return _saved(still, "WEBP", quality=_JPEG_QUALITY, method=2, **options)
    if kind in ("PNG", "GIF") or still.mode == "RGBA":
        # Level 6 takes twice the time for 3 % less.
        return _saved(still, "PNG", compress_level=4, **options)
    return _saved(still, "JPEG", quality=_JPEG_QUALITY, **options)


def _is_opaque(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (255, 255)


def _saved(image: Image.Image, kind: str, **options: Any) -> Rendered:
    out = io.BytesIO()
    # What the image carried (EXIF with a place, comments, transparency) is not for its thumbnail.
    image.info = {}
    image.save(out, kind, **options)
    return Rendered(out.getvalue(), CONTENT_TYPES[kind])


def _may_be_animated(image: Any, fitted: Fit) -> bool:
    frames = int(image.n_frames)
    return (
        frames <= MAX_FRAMES
        and frames * image.width * image.height <= MAX_ANIMATED_PIXELS
        and frames * fitted.width * fitted.height <= MAX_ANIMATED_OUTPUT
    )


def _animation(image: Image.Image, fitted: Fit, max_pixels: int) -> Rendered:
    """An animated WebP, which the spec prefers."""
    frames: list[Image.Image] = []
    durations: list[int] = []
    for frame in ImageSequence.Iterator(image):
        _check_size(*frame.size, max_pixels)
        durations.append(max(10, int(frame.info.get("duration") or 100)))
        frames.append(_resized(frame, fitted).convert("RGBA"))
        frames[-1].info = {}
    out = io.BytesIO()
    frames[0].save(
        out, "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=int(image.info.get("loop", 0)),
        quality=70, method=0,
    )  # fmt: skip
    return Rendered(out.getvalue(), CONTENT_TYPES["WEBP"])
