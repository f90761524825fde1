"""What stands in the headers of a download."""

import pytest

from homeserver.services.media.disposition import disposition, media_type, served_type


@pytest.mark.parametrize(
    "content_type", ["image/png", "text/plain", "text/plain; charset=utf-8", "IMAGE/JPEG", "audio/x-flac"]
)
def test_what_cannot_run_scripts_is_shown_inline(content_type: str) -> None:
    assert disposition(content_type, None) == "inline"


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/svg+xml", "application/octet-stream", "application/xhtml+xml", "image/png2", ""],
)
def test_all_else_is_an_attachment(content_type: str) -> None:
    assert disposition(content_type, None) == "attachment"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("War and Peace.pdf", 'filename="War and Peace.pdf"'),
        ("a.txt", 'filename="a.txt"'),
        ('a".txt', "filename*=UTF-8''a%22.txt"),
        ("a\\b", "filename*=UTF-8''a%5Cb"),
        ("50%25.txt", "filename*=UTF-8''50%2525.txt"),
        ("naïve.txt", "filename*=UTF-8''na%C3%AFve.txt"),
        ("☕.png", "filename*=UTF-8''%E2%98%95.png"),
        ("a\r\nSet-Cookie: x", "filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x"),
        ("\ud800", "filename*=UTF-8''%3F"),
        ("../../etc/passwd", 'filename="../../etc/passwd"'),
    ],
)
def test_any_file_name_fits_into_the_header(name: str, expected: str) -> None:
    assert disposition("text/plain", name) == f"inline; {expected}"


@pytest.mark.parametrize(
    "declared",
    [
        "image/png",
        "text/plain; charset=utf-8",
        'multipart/x; boundary="a b"',
        "application/vnd.ms-excel",
        "x/y;a=b;c=d",
    ],
)
def test_a_media_type_is_kept_as_it_was_declared(declared: str) -> None:
    assert media_type(declared) == declared


@pytest.mark.parametrize(
    "declared",
    [None, "", "nonsense", "a/b\r\nX: y", "image/", "/png", "a/b; c", 'text/plain; x="\x00"', "a/" + "b" * 300, "ä/b"],
)
def test_what_is_no_media_type_is_octet_stream(declared: str | None) -> None:
    assert media_type(declared) == "application/octet-stream"


def test_text_gets_a_charset() -> None:
    assert served_type("text/plain") == "text/plain; charset=UTF-8"
    assert served_type("text/plain; charset=latin-1") == "text/plain; charset=latin-1"
    assert served_type("image/png") == "image/png"
