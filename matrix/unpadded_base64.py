"""Base64 without padding, as binary values are written everywhere in Matrix.

Source: appendices, "Unpadded Base64".
"""

from binascii import Error, a2b_base64, b2a_base64

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = str.maketrans("-_", "+/")


def encode(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def encode_url_safe(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes, with or without padding, of either alphabet, as the specification asks of those who read.

    Raises: ValueError.
    """
    try:
        bare = text.rstrip("=").translate(_FROM_URL_SAFE).encode("ascii")
        return a2b_base64(bare + b"=" * (-len(bare) % 4))
    except (Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error
