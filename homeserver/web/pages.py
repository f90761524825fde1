"""Small pages for people who follow a link: a title, a sentence, perhaps a button. No scripts, no other places."""

from html import escape

from homeserver.web.replies import Reply

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 1.1em sans-serif; max-width: 32em; margin: 4em auto; padding: 0 1em; }}
button {{ font: inherit; padding: .5em 1em; }}</style></head><body><h1>{title}</h1>{body}</body></html>
"""


def page(title: str, text: str, *, form: str = "", status: int = 200) -> Reply:
    """`form` is HTML of our own; all else is text."""
    body = f"<p>{escape(text)}</p>{form}"
    return Reply(status, _PAGE.format(title=escape(title), body=body), "text/html; charset=utf-8", headers=_HEADERS)
