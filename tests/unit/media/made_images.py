"""Images for tests: honest ones made by Pillow, and bombs made by hand."""

import io
import random
import struct
import zlib
from typing import Any

from PIL import Image


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Coarse noise: nothing compresses it away."""
    noise = random.Random(1).randbytes(64 * 64 * 3)
    return Image.frombytes("RGB", (64, 64), noise).resize((width, height)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def animated(kind: str, width: int = 100, height: int = 80, frames: int = 3) -> bytes:
    pictures = [Image.new("RGB", (width, height), (80 * index, 0, 255)) for index in range(frames)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=50, loop=0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A few kB that claim to be so large."""
    rows = zlib.compress(bytes(1_000_000))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_of_many_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(picture(1000, 1000), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
