"""Media that goes: rows first, in small batches; the caller then removes the files whose names he is given."""

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor


def delete_media(cur: Cursor, media: Sequence[tuple[str, str]]) -> list[str]:
    """Deletes media; gives the names of the files that belong to nothing any more."""
    cur.execute(
        "DELETE FROM media m USING unnest(%s::text[], %s::text[]) AS v (origin, media_id)"
        " WHERE m.origin = v.origin AND m.media_id = v.media_id RETURNING m.file_nid",
        ([origin for origin, _ in media], [media_id for _, media_id in media]),
    )
    return _delete_unused(cur, sorted({nid for (nid,) in cur if nid is not None}))


def _delete_unused(cur: Cursor, nids: list[int]) -> list[str]:
    """Deletes the files of these that no media has."""
    # Two statements: the second sees what was committed while the first waited for an upload of equal content.
    cur.execute("SELECT file_nid FROM media_files WHERE file_nid = ANY(%s) ORDER BY file_nid FOR UPDATE", (nids,))
    cur.execute(
        "SELECT file_nid FROM media_files f WHERE file_nid = ANY(%s)"
        " AND NOT EXISTS (SELECT 1 FROM media m WHERE m.file_nid = f.file_nid)",
        (nids,),
    )
    unused = [nid for (nid,) in cur]
    cur.execute("DELETE FROM media_thumbnails WHERE file_nid = ANY(%s) RETURNING name", (unused,))
    # A thumbnail without a name is the file itself.
    names = [str(name) for (name,) in cur if name]
    cur.execute("DELETE FROM media_files WHERE file_nid = ANY(%s) RETURNING name", (unused,))
    return names + [str(name) for (name,) in cur]


def delete_expired(cur: Cursor, now_ms: int, limit: int) -> int:
    """Forgets announced media that was not uploaded in time; gives how many."""
    cur.execute(
        "DELETE FROM media WHERE (origin, media_id) IN (SELECT origin, media_id FROM media"
        " WHERE file_nid IS NULL AND expires_ms < %s LIMIT %s)",
        (now_ms, limit),
    )
    return cur.rowcount


def unused_media(cur: Cursor, origin: str, *, local: bool, before_ms: int, limit: int) -> list[tuple[str, str]]:
    """Media of this server (or, not `local`, of all others) that nobody has looked at since then."""
    cur.execute(
        "SELECT origin, media_id FROM media m LEFT JOIN media_files f USING (file_nid) WHERE (origin = %s) = %s"
        " AND coalesce(last_access_ms, created_ms) < %s AND file_nid IS NOT NULL AND NOT protected"
        # Quarantined media is kept: it may be evidence.
        " AND NOT EXISTS (SELECT 1 FROM media_quarantine q WHERE q.sha256 = f.sha256) LIMIT %s",
        (origin, local, before_ms, limit),
    )
    return [(str(origin), str(media_id)) for origin, media_id in cur]


def delete_unused_thumbnails(cur: Cursor, before_ms: int, limit: int) -> list[str]:
    """Deletes thumbnails that nobody has looked at since then; gives the names of their files."""
    cur.execute(
        "DELETE FROM media_thumbnails WHERE (file_nid, width, height, method, animated) IN (SELECT file_nid, width,"
        " height, method, animated FROM media_thumbnails WHERE last_access_ms < %s LIMIT %s) RETURNING name",
        (before_ms, limit),
    )
    return [str(name) for (name,) in cur]


def known_files(cur: Cursor, names: Sequence[str]) -> set[str]:
    """Those of the names that belong to something."""
    cur.execute(
        "SELECT name FROM media_files WHERE name = ANY(%(names)s)"
        " UNION ALL SELECT name FROM media_thumbnails WHERE name = ANY(%(names)s)",
        {"names": list(names)},
    )
    return {str(name) for (name,) in cur}


def preview_images(cur: Cursor, before_ms: int, limit: int) -> list[tuple[str, str]]:
    """Images of previews that were made before then."""
    cur.execute("SELECT origin, media_id FROM media WHERE of_preview AND created_ms < %s LIMIT %s", (before_ms, limit))
    return [(str(origin), str(media_id)) for origin, media_id in cur]
