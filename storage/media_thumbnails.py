"""Thumbnails that are made already, by the file they are of and the box they were fitted to."""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor


@frozen
class ThumbnailKey:
    """Which thumbnail of a file: the box, and how the image was fitted to it."""

    width: int
    height: int
    method: str
    animated: bool


@frozen
class StoredThumbnail:
    name: str
    content_type: str
    length: int


def find_thumbnail(cur: Cursor, file_nid: int, key: ThumbnailKey) -> StoredThumbnail | None:
    cur.execute(
        "SELECT name, content_type, length FROM media_thumbnails"
        " WHERE file_nid = %s AND width = %s AND height = %s AND method = %s AND animated = %s",
        (file_nid, key.width, key.height, key.method, key.animated),
    )
    row = cur.fetchone()
    return None if row is None else StoredThumbnail(*row)


def add_thumbnail(
    cur: Cursor, file_nid: int, key: ThumbnailKey, thumbnail: StoredThumbnail, *, now_ms: int, max_of_file: int
) -> bool:
    """False if it is not kept: another process was faster, the file is gone, or it has many thumbnails already."""
    cur.execute("SELECT file_nid FROM media_files WHERE file_nid = %s FOR KEY SHARE", (file_nid,))
    if cur.fetchone() is None:
        return False
    cur.execute(
        "INSERT INTO media_thumbnails (file_nid, width, height, method, animated, content_type, length, name,"
        " last_access_ms) SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s"
        " WHERE (SELECT count(*) FROM media_thumbnails WHERE file_nid = %s) < %s ON CONFLICT DO NOTHING",
        (
            file_nid, key.width, key.height, key.method, key.animated, thumbnail.content_type, thumbnail.length,
            thumbnail.name, now_ms, file_nid, max_of_file,
        ),
    )  # fmt: skip
    return cur.rowcount == 1


def delete_thumbnail(cur: Cursor, file_nid: int, key: ThumbnailKey) -> None:
    cur.execute(
        "DELETE FROM media_thumbnails"
        " WHERE file_nid = %s AND width = %s AND height = %s AND method = %s AND animated = %s",
        (file_nid, key.width, key.height, key.method, key.animated),
    )
