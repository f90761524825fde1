"""A picture of two pixels."""

import io

from PIL import Image


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 1), (200, 0, 0)).save(file, "PNG")
    return file.getvalue()


PNG = _png()
