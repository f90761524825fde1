"""What a page says of itself, and what a client is given of it."""

from urllib.parse import urlsplit

import pytest

from homeserver.services.media.pages import MAX_CHARACTERS, decode, scan
from homeserver.services.media.preview_graph import image_url, open_graph, shortened
from homeserver.services.media.previews import matches
from tests.support.cost import timed

PAGE = """<!DOCTYPE html><html><head><meta charset=utf-8>
<title>The &quot;title&quot;
 of the page</title>
<!-- <meta property="og:title" content="in a comment"> -->
<script>"<meta property='og:title' content='in a script'>"</script>
<META Content='Said &amp; done' PROPERTY="og:description"/>
<meta property="og:image" content="/a.png?x=1&amp;y=2"><meta property="og:type" content=website>
<meta name="twitter:site" content="@example"><meta property="og:description" content="the second">
</head><body><nav>Home</nav><p>First paragraph.</p><img src="/pixel.gif" width="1" height="1">
<img src="/b.png"></body></html>"""


def test_a_page_says_what_it_is() -> None:
    assert open_graph(scan(PAGE)) == {
        "og:title": 'The "title" of the page',
        "og:description": "Said & done",
        "og:image": "/a.png?x=1&y=2",
        "og:type": "website",
        "og:site_name": "@example",
    }


def test_a_page_that_says_nothing_is_read() -> None:
    html = "<body><header>Menu</header><p>One.<p>Two <b>three</b>.<style>p{}</style><img src=x.png></body>"
    assert open_graph(scan(html)) == {"og:description": "One. Two three.", "og:image": "x.png"}


@pytest.mark.parametrize(
    "html",
    [
        "",
        "text",
        "<",
        "<<<<",
        "<title>",
        "<!--",
        "<script>",
        "<a b='",
        "<meta content=x>",
        "\x00",
        "<" * 1000,
        "</p></nav></nav>",
    ],
)
def test_broken_pages_say_nothing(html: str) -> None:
    assert open_graph(scan(html)) == {}


@pytest.mark.parametrize(
    "part",
    ["<", "<a ", "<!--", "<!", "<a '\"", "<a \" \" ", "<a x='\"", "<title", "<title>",
     "<meta ", '<meta a="', "</", "<p>", "&", "<img src=x ",
     "<meta b=\"c='\" ", "a=", "<svg></svg", "<textarea><", '"', "<a b=<"],
)  # fmt: skip
def test_no_page_takes_long(part: str) -> None:
    html = part * (MAX_CHARACTERS // len(part))
    cost_s, _ = timed(lambda: open_graph(scan(html)))
    assert cost_s < 2.0


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ("é".encode(), "text/html", "é"),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é"),
        ("é".encode("latin-1"), "text/html", "é"),
        ('<meta charset="shift_jis">日'.encode("shift_jis"), "text/html", '<meta charset="shift_jis">日'),
        (b"\xff\xfe\xfd", "text/html; charset=punycode", "ÿþý"),
        (b"x", "text/html; charset=nonsense", "x"),
        (b"x", "text/html; charset=iso-8859-99", "x"),
    ],
)
def test_a_page_is_read_in_its_encoding(body: bytes, content_type: str, expected: str) -> None:
    assert decode(body, content_type) == expected


def test_a_text_is_shortened_between_words() -> None:
    assert shortened("one two three", 9) == "one two…"
    assert shortened("one", 9) == "one"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("/b.png", "https://a.test/b.png"), ("b.png", "https://a.test/x/b.png"), ("//c.test/b", "https://c.test/b"),
        ("data:image/png;base64,xx", None), ("javascript:alert(1)", None), ("file:///etc/passwd", None),
        ("http://[", None),
    ],
)  # fmt: skip
def test_an_image_is_found_from_its_page(image: str, expected: str | None) -> None:
    assert image_url("https://a.test/x/y", image) == expected


@pytest.mark.parametrize(
    ("entry", "is_blocked"),
    [
        ({"netloc": "a.test"}, True), ({"netloc": "*.test"}, True), ({"netloc": "b.test"}, False),
        ({"scheme": "https", "netloc": "a.test"}, True), ({"scheme": "http", "netloc": "a.test"}, False),
        ({"path": "^/[0-9]+$"}, True), ({"username": "*"}, False), ({"nonsense": "*"}, False), ({}, False),
    ],
)  # fmt: skip
def test_pages_are_blocked_by_parts_of_their_urls(entry: dict[str, str], is_blocked: bool) -> None:
    assert matches(urlsplit("https://a.test/123?q"), entry) is is_blocked
