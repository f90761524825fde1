"""Thumbnails of images, honest and hostile."""

import contextlib
import io
from typing import Any

import pytest
from PIL import Image

from homeserver.services.media import images
from homeserver.services.media.image_kinds import CONTENT_TYPES, ImageTooLarge, NotAnImage
from homeserver.services.media.images import Rendered, render
from homeserver.services.media.thumbnail_choice import Box
from tests.unit.media.made_images import animated, encoded, jpeg_of_many_scans, opened, picture, png_bomb

MAX_PIXELS = 32 << 20
SMALL = Box(32, 24, "scale")
SQUARE = Box(32, 32, "crop")


def shown(data: bytes, box: Box = SMALL) -> tuple[Rendered, Image.Image]:
    rendered = render(data, box, MAX_PIXELS)
    assert rendered.data is not None
    return rendered, opened(rendered.data)


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("JPEG", "RGB", "image/jpeg"), ("JPEG", "L", "image/jpeg"), ("JPEG", "CMYK", "image/jpeg"),
        ("PNG", "RGB", "image/png"), ("PNG", "RGBA", "image/png"), ("PNG", "P", "image/png"), ("PNG", "1", "image/png"),
        ("PNG", "LA", "image/png"), ("PNG", "I;16", "image/png"), ("GIF", "P", "image/png"),
        ("WEBP", "RGB", "image/jpeg"), ("AVIF", "RGB", "image/jpeg"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("box", "size"), [(SMALL, (32, 16)), (SQUARE, (32, 32))])
def test_every_kind_of_image_has_thumbnails(
    kind: str, mode: str, expected: str, box: Box, size: tuple[int, int]
) -> None:
    rendered, thumbnail = shown(encoded(picture(200, 100, mode), kind), box)
    assert (rendered.content_type, thumbnail.size) == (expected, size)
    assert thumbnail.format is not None
    assert CONTENT_TYPES[thumbnail.format] == expected


@pytest.mark.parametrize(("kind", "expected"), [("PNG", "image/png"), ("WEBP", "image/webp")])
def test_what_is_transparent_stays_so(kind: str, expected: str) -> None:
    image = Image.new("RGBA", (200, 100), (255, 0, 0, 0))
    rendered, thumbnail = shown(encoded(image, kind))
    assert rendered.content_type == expected
    assert thumbnail.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_a_transparent_colour_stays_so() -> None:
    image = Image.new("P", (200, 100), 3)
    image.putpalette([value for value in range(256) for _ in "RGB"])
    _, thumbnail = shown(encoded(image, "PNG", transparency=3))
    assert thumbnail.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_sixteen_bits_of_grey_keep_their_brightness() -> None:
    image = Image.new("I;16", (200, 100), 128 * 256)
    _, thumbnail = shown(encoded(image, "PNG"))
    low, high = thumbnail.convert("L").getextrema()
    assert 126 <= low <= high <= 130  # type: ignore[operator]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("box", [SMALL, SQUARE])
def test_an_image_is_turned_as_exif_says(orientation: int, box: Box) -> None:
    upright = Image.new("RGB", (200, 100), "blue")
    upright.paste("red", (0, 0, 100, 50))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    lying = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    _, thumbnail = shown(encoded(lying, "JPEG", exif=exif, quality=95), box)
    assert thumbnail.size == ((32, 16) if box is SMALL else (32, 32))
    assert _is_red(thumbnail, 2, 2)
    assert not _is_red(thumbnail, thumbnail.width - 3, 2)
    assert not _is_red(thumbnail, 2, thumbnail.height - 3)
    assert not thumbnail.getexif()


def _is_red(image: Image.Image, x: int, y: int) -> bool:
    red, _, blue = image.convert("RGB").getpixel((x, y))  # type: ignore[misc]
    return bool(red > blue)


def test_what_is_small_enough_is_given_as_it_is() -> None:
    assert render(encoded(picture(30, 20), "PNG"), SMALL, MAX_PIXELS) == Rendered(None, "image/png")


def test_avif_is_no_type_of_a_thumbnail() -> None:
    rendered, thumbnail = shown(encoded(picture(30, 20), "AVIF"))
    assert (rendered.content_type, thumbnail.size) == ("image/jpeg", (30, 20))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_stands_still_unless_it_is_asked_to_move(kind: str) -> None:
    for size in ((100, 80), (20, 20)):
        _, still = shown(animated(kind, *size))
        assert not getattr(still, "is_animated", False)
    rendered, moving = shown(animated(kind), Box(32, 24, "scale", animated=True))
    assert rendered.content_type == "image/webp"
    assert (moving.n_frames, moving.size) == (3, (30, 24))  # type: ignore[attr-defined]


def test_a_small_animation_that_may_move_is_given_as_it_is() -> None:
    box = Box(320, 240, "scale", animated=True)
    assert render(animated("GIF"), box, MAX_PIXELS) == Rendered(None, "image/gif")


def test_an_animation_that_would_cost_too_much_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_FRAMES", 2)
    rendered, still = shown(animated("GIF"), Box(32, 24, "scale", animated=True))
    assert (rendered.content_type, getattr(still, "is_animated", False)) == ("image/png", False)


@pytest.mark.parametrize("data", [png_bomb(), png_bomb(32_769, 1024), jpeg_of_many_scans(2_000)])
def test_a_bomb_is_too_large(data: bytes) -> None:
    with pytest.raises(ImageTooLarge):
        render(data, SMALL, MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_an_image_beyond_the_operators_limit_is_too_large(kind: str, options: dict[str, Any]) -> None:
    data = encoded(picture(101, 100), kind, **(options if kind == "WEBP" else {}))
    with pytest.raises(ImageTooLarge):
        render(data, SMALL, 10_000)
    assert render(data, SMALL, 10_100).data is not None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x20ftypavif", b"BM" + bytes(60),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", b"RIFF\0\0\0\0WEBPVP8X" + bytes(40),
    ],
)  # fmt: skip
def test_what_is_no_image_has_no_thumbnails(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        render(data, SMALL, MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_a_truncated_image_is_refused(kind: str) -> None:
    data = encoded(picture(200, 100), kind)
    for length in (20, 40, len(data) // 2):
        with pytest.raises(NotAnImage):
            render(data[:length], SMALL, MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_whatever_is_wrong_with_an_image_there_is_a_thumbnail_or_a_refusal(kind: str) -> None:
    data = bytearray(encoded(picture(60, 40), kind))
    for at in range(0, min(len(data), 1500), 7):
        broken = bytes(data[:at]) + bytes([data[at] ^ 0xFF]) + bytes(data[at + 1 :])
        with contextlib.suppress(NotAnImage, ImageTooLarge):
            render(broken, Box(32, 24, "scale", animated=True), MAX_PIXELS)


def test_a_name_does_not_make_an_image() -> None:
    """Only the first bytes count: Pillow has dozens of decoders that nobody shall reach."""
    out = io.BytesIO()
    picture(100, 100).save(out, "TIFF")
    with pytest.raises(NotAnImage):
        render(out.getvalue(), SMALL, MAX_PIXELS)
