"""What a client is told of a file: its type, and under which name to show or to save it. Pure.

Source: client-server API, "Serving inline content"; RFC 6266; RFC 8187.
"""

import re
from urllib.parse import quote, unquote_to_bytes

_INLINE = frozenset({
    "text/css", "text/plain", "text/csv", "application/json", "application/ld+json", "image/jpeg", "image/gif",
    "image/png", "image/apng", "image/webp", "image/avif", "video/mp4", "video/webm", "video/ogg", "video/quicktime",
    "audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav", "audio/x-wav",
    "audio/x-pn-wav", "audio/flac", "audio/x-flac",
})  # fmt: skip
UNKNOWN_TYPE = "application/octet-stream"
_MAX_TYPE = 255
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# A media type with parameters whose values are tokens or simple quoted strings.
_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:\s*;\s*{_WORD}=(?:{_WORD}|\"[^\"\\\x00-\x1f\x7f-\xff]*\"))*\s*;?")
# What every client reads the same way between quotes. Some decode %41 there, which is why % is not among it.
_SIMPLE_NAME = re.compile(r"[A-Za-z0-9 !#$&'()+,./:;<=>?@\[\]^_`{|}~-]+")

_EXTENDED_NAME = re.compile(r"(?i);\s*filename\*\s*=\s*utf-8'[a-z-]*'([^\s;]+)")
_PLAIN_NAME = re.compile(r"(?i);\s*filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_MAX_NAME = 255


def media_type(declared: str | None) -> str:
    """The type that an uploader declares, if it can be one."""
    declared = (declared or "").strip()
    return declared if len(declared) <= _MAX_TYPE and _TYPE.fullmatch(declared) else UNKNOWN_TYPE


def served_type(content_type: str) -> str:
    """With a charset for text: without one, browsers guess."""
    lowered = content_type.lower()
    return (
        f"{content_type}; charset=UTF-8" if lowered.startswith("text/") and "charset=" not in lowered else content_type
    )


def disposition(content_type: str, file_name: str | None) -> str:
    """`inline` for types that cannot run scripts, else `attachment`; with the name, if there is one."""
    kind = "inline" if content_type.partition(";")[0].strip().lower() in _INLINE else "attachment"
    if not file_name:
        return kind
    if _SIMPLE_NAME.fullmatch(file_name):
        return f'{kind}; filename="{file_name}"'
    # Surrogates cannot come from a query or a path, but from a file name of another server.
    return f"{kind}; filename*=UTF-8''{quote(file_name.encode('utf-8', 'replace'), safe='')}"


def file_name_of(content_disposition: str | None) -> str | None:
    """The name that a Content-Disposition of another server gives the file, if it does.

    Source: RFC 6266, 4.3: the extended form goes before the plain one.
    """
    text = content_disposition or ""
    if found := _EXTENDED_NAME.search(text):
        name = unquote_to_bytes(found[1]).decode("utf-8", "replace")
    elif found := _PLAIN_NAME.search(text):
        name = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    else:
        return None
    return _UNPRINTABLE.sub("", name)[:_MAX_NAME] or None
