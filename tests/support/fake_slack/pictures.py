"""Small pictures, another one for each name."""

import io
import zlib

from PIL import Image


def png(name: str, size: int = 8) -> bytes:
    """A square of a colour that follows from the name."""
    colour = zlib.crc32(name.encode()) & 0xFFFFFF
    out = io.BytesIO()
    Image.new("RGB", (size, size), (colour >> 16, colour >> 8 & 255, colour & 255)).save(out, "PNG")
    return out.getvalue()
