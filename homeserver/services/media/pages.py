"""What a web page says of itself: its meta tags, its title, the beginning of its text. Pure, and linear in the page.

No parser of the standard library or of the registries is both linear on hostile pages and lenient enough for real
ones; what a preview needs is a scan for a handful of tags.
"""

import re
from html import unescape

from attrs import define, field

# What a page says of itself stands in its first part.
MAX_CHARACTERS = 512 * 1024
MAX_TEXT = 2000
_MAX_TAG = 8192
# Each costs up to _MAX_TAG steps.
_MAX_BROKEN_TAGS = 200
_MAX_TAGS = 20_000
_MAX_METAS = 200

_ATTRIBUTES = r"(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+"
_TAG = re.compile(rf"<(/?)([a-zA-Z][a-zA-Z0-9:-]{{0,40}})({_ATTRIBUTES})>")
_ATTRIBUTE = re.compile(r"([a-zA-Z][a-zA-Z0-9:_-]{0,60})\s{0,20}=\s{0,20}(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'<>]++))")
_END_OF = {
    name: re.compile(rf"</{name}\b", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "noscript", "svg")
}
# Parts of a page that are not what it is about.
_BESIDE = frozenset({"header", "nav", "aside", "footer", "form", "button", "select"})
_BLOCKS = frozenset({"p", "div", "br", "li", "h1", "h2", "h3", "h4", "td", "section", "article"})

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?([a-zA-Z0-9_:.-]{1,40})", re.IGNORECASE)
# Python has codecs that are slow beyond measure on hostile input: only those that pages are written in.
_ENCODINGS = re.compile(
    r"utf-?8|utf-?16(?:le|be)?|us-ascii|(?:iso-?8859|windows|cp|koi8|euc|shift|gb|big)[-_a-z0-9]{1,12}"
)


@define
class Page:
    """`metas` are by name or property, lower case, the first of each; `icons` and `images` are URLs as they stand."""

    metas: dict[str, str] = field(factory=dict)
    title: str = ""
    text: str = ""
    image_link: str = ""
    images: list[str] = field(factory=list)


def decode(body: bytes, content_type: str) -> str:
    """The page as text, in the encoding that it or its server declares, if it is a known one."""
    body = body[: MAX_CHARACTERS * 2]
    declared = content_type.lower().partition("charset=")[2].strip(" \"'").partition(";")[0]
    found = _CHARSET.search(body[:4096])
    for encoding in (declared, found[1].decode().lower() if found else "", "utf-8"):
        if _ENCODINGS.fullmatch(encoding):
            try:
                return body.decode(encoding, "replace" if encoding != "utf-8" else "strict")[:MAX_CHARACTERS]
            except (LookupError, UnicodeDecodeError):
                continue
    return body.decode("cp1252", "replace")[:MAX_CHARACTERS]


def scan(html: str) -> Page:
    """What the page says of itself."""
    return _Scan(html).run()


class _Scan:
    def __init__(self, html: str) -> None:
        self._html = html
        self._page = Page()
        self._text: list[str] = []
        self._text_length = 0
        self._is_body = False
        self._beside = 0

    def run(self) -> Page:
        html, at, broken, tags = self._html, 0, 0, 0
        while (start := html.find("<", at)) >= 0 and broken < _MAX_BROKEN_TAGS and tags < _MAX_TAGS:
            self._take_text(at, start)
            tags += 1
            if html.startswith("<!--", start):
                at = html.find("-->", start) + 3
                if at == 2:
                    break
                continue
            tag = _TAG.match(html, start, start + _MAX_TAG)
            if tag is None:
                broken, at = broken + 1, start + 1
                continue
            at = self._take_tag(tag)
            if at < 0:
                break
        self._page.text = " ".join("".join(self._text).split())[:MAX_TEXT]
        return self._page

    def _take_text(self, start: int, end: int) -> None:
        if self._is_body and not self._beside and self._text_length < MAX_TEXT * 2:
            text = unescape(self._html[start : min(end, start + MAX_TEXT)])
            self._text.append(text)
            self._text_length += len(text)

    def _take_tag(self, tag: re.Match[str]) -> int:
        """Where the scan goes on; -1 if an element has no end."""
        name, is_end = tag[2].lower(), tag[1] == "/"
        if name in _BLOCKS and self._text_length < MAX_TEXT * 2:
            self._text.append(" ")
        if name in _BESIDE:
            self._beside = max(0, self._beside + (-1 if is_end else 1))
        elif is_end:
            return tag.end()
        elif name in _END_OF:
            return self._skip(name, tag.end())
        elif name == "body":
            self._is_body = True
        elif name in ("meta", "link", "img"):
            self._take_element(name, _attributes(tag[3]))
        return tag.end()

    def _skip(self, name: str, start: int) -> int:
        end = _END_OF[name].search(self._html, start)
        if end is None:
            return -1
        if name == "title" and not self._page.title:
            self._page.title = " ".join(unescape(self._html[start : min(end.start(), start + 1000)]).split())
        return end.start()

    def _take_element(self, name: str, attributes: dict[str, str]) -> None:
        page = self._page
        if name == "meta":
            key = (attributes.get("property") or attributes.get("name") or attributes.get("itemprop") or "").lower()
            if key and "content" in attributes and len(page.metas) < _MAX_METAS:
                page.metas.setdefault(key, attributes["content"])
        elif name == "link":
            if attributes.get("rel", "").lower() == "image_src":
                page.image_link = page.image_link or attributes.get("href", "")
        elif self._is_body and len(page.images) < 1 and _is_large(attributes):
            page.images.append(attributes.get("src", ""))


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), unescape(double or single or bare))
    return found


def _is_large(attributes: dict[str, str]) -> bool:
    """Not a pixel that counts visitors, nor an icon, as far as the page says."""
    sides = [attributes.get(side, "") for side in ("width", "height")]
    return bool(attributes.get("src")) and all(
        not side.isdecimal() or len(side) > 2 or int(side) > 10 for side in sides
    )
