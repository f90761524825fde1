"""From a page to the OpenGraph properties that a client is given. Pure.

Source: client-server API, GET /media/preview_url; ogp.me. What is missing is taken from Twitter's tags, then from the
page itself, as in Synapse.
"""

from urllib.parse import urljoin, urlsplit

from homeserver.services.media.pages import Page

MAX_PROPERTIES, MAX_VALUE = 50, 1000
_DESCRIPTION = 500
_FROM_TWITTER = {"title": "og:title", "description": "og:description", "image": "og:image", "site": "og:site_name"}


def open_graph(page: Page) -> dict[str, str]:
    """Properties by name. `og:image` is a URL as the page has it."""
    found: dict[str, str] = {}
    for name, value in page.metas.items():
        if name.startswith("og:") and value.strip() and len(found) < MAX_PROPERTIES and len(name) < 100:
            found[name] = value.strip()[:MAX_VALUE]
    for name, property_ in _FROM_TWITTER.items():
        _set(found, property_, page.metas.get(f"twitter:{name}", ""))
    _set(found, "og:title", page.title)
    _set(found, "og:description", page.metas.get("description", ""))
    _set(found, "og:description", shortened(page.text, _DESCRIPTION))
    for image in (page.metas.get("og:image:url", ""), page.image_link, page.metas.get("image", ""), *page.images):
        _set(found, "og:image", image)
    return found


def _set(found: dict[str, str], name: str, value: str) -> None:
    if value.strip():
        found.setdefault(name, value.strip()[:MAX_VALUE])


def shortened(text: str, length: int) -> str:
    """At most so many characters, and no half word."""
    if len(text) <= length:
        return text
    return text[: length - 1].rpartition(" ")[0].rstrip(" .,;:") + "…"


def image_url(page_url: str, image: str) -> str | None:
    """The URL of a page's image, if it can be fetched."""
    try:
        url = urljoin(page_url, image)
        return url if urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None
