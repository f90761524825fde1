"""Previews of links that were made lately."""

import hashlib

from attrs import frozen
from psycopg2.extensions import cursor as Cursor


@frozen
class StoredPreview:
    """`json` is what the client gets; `image` the media id of its image."""

    url: str
    made_ms: int
    expires_ms: int
    json: str
    image: str | None


def find_preview(cur: Cursor, url: str, now_ms: int) -> str | None:
    cur.execute("SELECT json FROM url_previews WHERE url_sha256 = %s AND expires_ms > %s", (_key(url), now_ms))
    row = cur.fetchone()
    return None if row is None else str(row[0])


def put_preview(cur: Cursor, preview: StoredPreview) -> str | None:
    """Gives the image of the preview that it replaces."""
    cur.execute("SELECT image FROM url_previews WHERE url_sha256 = %s FOR UPDATE", (_key(preview.url),))
    row = cur.fetchone()
    cur.execute(
        "INSERT INTO url_previews (url_sha256, made_ms, expires_ms, json, image) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (url_sha256) DO UPDATE SET made_ms = excluded.made_ms, expires_ms = excluded.expires_ms,"
        " json = excluded.json, image = excluded.image",
        (_key(preview.url), preview.made_ms, preview.expires_ms, preview.json, preview.image),
    )
    return None if row is None else row[0]


def _key(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()
