"""What a file says of itself to be an image of; what images.py, which decodes them, refuses.

Apart from it, so that the decoders are in memory only where somebody wants a thumbnail.
"""

# A file that is larger has no thumbnails: it would have to be in memory as a whole.
MAX_FILE_BYTES = 128 << 20

CONTENT_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp", "AVIF": "image/avif",
}  # fmt: skip


class NotAnImage(Exception):
    """No image that thumbnails can be made of."""


class ImageTooLarge(Exception):
    """Decoding it would cost too much."""


def format_of(data: bytes) -> str | None:
    """The image format that the first bytes are of."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "AVIF"
    return None
