"""Media: what was uploaded or copied from other servers, and the files and thumbnails that belong to it."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

# Any number for locks of this kind: two uploads of one user are counted one after the other.
_UPLOADS_LOCK = 0x6D656469
# And of this: two processes may fetch the same media of another server.
_COPIES_LOCK = 0x6D656470


@frozen
class StoredFile:
    """A file on disk. `name` is what `Files` calls it."""

    nid: int
    sha256: bytes
    name: str
    length: int


@frozen
class Media:
    """Media; without a file it is announced, and may be uploaded until `expires_ms`."""

    origin: str
    media_id: str
    file: StoredFile | None
    uploader: str | None
    content_type: str
    file_name: str | None
    created_ms: int
    expires_ms: int | None
    authenticated: bool
    protected: bool
    quarantined: bool


@frozen(kw_only=True)
class NewMedia:
    """What is known of media when its file has arrived."""

    origin: str
    media_id: str
    uploader: str | None
    content_type: str
    file_name: str | None
    now_ms: int
    authenticated: bool
    of_preview: bool = False


@frozen(kw_only=True)
class NewFile:
    """A file that lies on the disk, safe from a power failure, and belongs to nothing yet."""

    sha256: bytes
    name: str
    length: int


@frozen
class Quota:
    """At most so much by one user since then."""

    since_ms: int
    max_bytes: int


class OverQuota(Exception):
    """The user has uploaded as much as he may."""


class Unexpected(Exception):
    """The media is not there, or not any more what the caller took it for."""


_MEDIA = (
    "SELECT m.origin, m.media_id, m.uploader, m.content_type, m.file_name, m.created_ms, m.expires_ms,"
    " m.authenticated, m.protected, q.sha256 IS NOT NULL AND NOT m.protected, f.file_nid, f.sha256, f.name, f.length"
    " FROM media m LEFT JOIN media_files f USING (file_nid) LEFT JOIN media_quarantine q USING (sha256)"
)


def find_media(cur: Cursor, origin: str, media_id: str) -> Media | None:
    cur.execute(_MEDIA + " WHERE m.origin = %s AND m.media_id = %s", (origin, media_id))
    row = cur.fetchone()
    return None if row is None else _media(row)


def media_of_user(cur: Cursor, uploader: str, limit: int) -> list[Media]:
    """What a user has uploaded, the newest first."""
    cur.execute(_MEDIA + " WHERE m.uploader = %s ORDER BY m.created_ms DESC LIMIT %s", (uploader, limit))
    return [_media(row) for row in cur]


def _media(row: tuple[Any, ...]) -> Media:
    nid, sha256, name, length = row[10:]
    file = None if nid is None else StoredFile(nid, bytes(sha256), name, length)
    return Media(row[0], row[1], file, *row[2:10])


def add_media(cur: Cursor, media: NewMedia, file: NewFile, quotas: Sequence[Quota] = ()) -> str:
    """New media with its file. Gives the name of the file that holds the content: an older one, if it is equal.

    Raises: OverQuota.
    """
    _keep_within(cur, media, file, quotas)
    nid, name = _put_file(cur, file)
    cur.execute(
        "INSERT INTO media (origin, media_id, file_nid, uploader, content_type, file_name, created_ms, authenticated,"
        " of_preview) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            media.origin, media.media_id, nid, media.uploader, media.content_type, media.file_name, media.now_ms,
            media.authenticated, media.of_preview,
        ),
    )  # fmt: skip
    return name


def add_copy(cur: Cursor, media: NewMedia, file: NewFile, quotas: Sequence[Quota] = ()) -> str:
    """As `add_media`, for a copy of another server's; if it is here already, that one stays."""
    cur.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_COPIES_LOCK, f"{media.origin}/{media.media_id}"))
    known = find_media(cur, media.origin, media.media_id)
    if known is not None and known.file is not None:
        return known.file.name
    return add_media(cur, media, file, quotas)


def fill_media(cur: Cursor, media: NewMedia, file: NewFile, quotas: Sequence[Quota] = ()) -> str:
    """Announced media gets its file; else as `add_media`. Raises: OverQuota; Unexpected if it has one already."""
    _keep_within(cur, media, file, quotas)
    nid, name = _put_file(cur, file)
    cur.execute(
        "UPDATE media SET file_nid = %s, content_type = %s, file_name = %s, created_ms = %s, expires_ms = NULL,"
        " authenticated = %s WHERE origin = %s AND media_id = %s AND uploader = %s AND file_nid IS NULL",
        (
            nid, media.content_type, media.file_name, media.now_ms, media.authenticated, media.origin, media.media_id,
            media.uploader,
        ),
    )  # fmt: skip
    if cur.rowcount != 1:
        raise Unexpected
    return name


def _put_file(cur: Cursor, file: NewFile) -> tuple[int, str]:
    # The update that changes nothing locks the row: a deletion of the old file waits, and then finds it used.
    cur.execute(
        "INSERT INTO media_files (sha256, name, length) VALUES (%s, %s, %s)"
        " ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256 RETURNING file_nid, name",
        (file.sha256, file.name, file.length),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def _keep_within(cur: Cursor, media: NewMedia, file: NewFile, quotas: Sequence[Quota]) -> None:
    if media.uploader is not None and quotas:
        _one_upload_at_a_time(cur, media.uploader)
        check_quotas(cur, media.uploader, file.length, quotas)


def check_quotas(cur: Cursor, uploader: str, length: int, quotas: Sequence[Quota]) -> None:
    """Raises: OverQuota if the user may not upload so much more."""
    for quota in quotas:
        cur.execute(
            "SELECT coalesce(sum(f.length), 0)::bigint FROM media m JOIN media_files f USING (file_nid)"
            " WHERE m.uploader = %s AND m.created_ms >= %s",
            (uploader, quota.since_ms),
        )
        row = cur.fetchone()
        assert row is not None
        if row[0] + length > quota.max_bytes:
            raise OverQuota


def _one_upload_at_a_time(cur: Cursor, uploader: str) -> None:
    """Until the transaction ends, nobody else counts or adds what this user uploads."""
    cur.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_UPLOADS_LOCK, uploader))


def announce_media(cur: Cursor, media: NewMedia, expires_ms: int, max_announced: int) -> int | None:
    """Adds media that is to be uploaded later. If too many wait already: when the first of them expires."""
    _one_upload_at_a_time(cur, media.uploader or "")
    cur.execute(
        "SELECT count(*), min(expires_ms) FROM media WHERE uploader = %s AND file_nid IS NULL AND expires_ms > %s",
        (media.uploader, media.now_ms),
    )
    row = cur.fetchone()
    assert row is not None
    if row[0] >= max_announced:
        return int(row[1] or media.now_ms)
    cur.execute(
        "INSERT INTO media (origin, media_id, uploader, created_ms, expires_ms, authenticated)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (media.origin, media.media_id, media.uploader, media.now_ms, expires_ms, media.authenticated),
    )
    return None


def accessed(cur: Cursor, media: Sequence[tuple[str, str]], files: Sequence[int], now_ms: int) -> None:
    """Media, and thumbnails of files, were looked at."""
    cur.execute(
        "UPDATE media m SET last_access_ms = %s FROM unnest(%s::text[], %s::text[]) AS v (origin, media_id)"
        " WHERE m.origin = v.origin AND m.media_id = v.media_id",
        (now_ms, [origin for origin, _ in media], [media_id for _, media_id in media]),
    )
    cur.execute("UPDATE media_thumbnails SET last_access_ms = %s WHERE file_nid = ANY(%s)", (now_ms, list(files)))


# -- moderation


def quarantine(cur: Cursor, origin: str, media_id: str, by: str, now_ms: int) -> int:
    """Quarantines media and all that equals it; gives how many media that is. Protected media is left alone."""
    cur.execute(
        "INSERT INTO media_quarantine (sha256, quarantined_by, at_ms) SELECT f.sha256, %s, %s FROM media m"
        " JOIN media_files f USING (file_nid) WHERE m.origin = %s AND m.media_id = %s AND NOT m.protected"
        " ON CONFLICT (sha256) DO NOTHING",
        (by, now_ms, origin, media_id),
    )
    return _quarantined_beside(cur, origin, media_id)


def _quarantined_beside(cur: Cursor, origin: str, media_id: str) -> int:
    cur.execute(
        "SELECT count(*) FROM media m JOIN media same USING (file_nid) JOIN media_files f USING (file_nid)"
        " JOIN media_quarantine q USING (sha256)"
        " WHERE m.origin = %s AND m.media_id = %s AND NOT m.protected AND NOT same.protected",
        (origin, media_id),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def quarantine_of_user(cur: Cursor, uploader: str, by: str, now_ms: int) -> int:
    """Quarantines all that a user has uploaded and what equals it; gives how many media of the user that is."""
    cur.execute(
        "INSERT INTO media_quarantine (sha256, quarantined_by, at_ms) SELECT DISTINCT f.sha256, %s, %s::bigint"
        " FROM media m JOIN media_files f USING (file_nid) WHERE m.uploader = %s AND NOT m.protected"
        " ON CONFLICT (sha256) DO NOTHING",
        (by, now_ms, uploader),
    )
    cur.execute(
        "SELECT count(*) FROM media WHERE uploader = %s AND file_nid IS NOT NULL AND NOT protected", (uploader,)
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


def unquarantine(cur: Cursor, origin: str, media_id: str) -> None:
    """Releases media, and all that equals it."""
    cur.execute(
        "DELETE FROM media_quarantine q USING media m JOIN media_files f USING (file_nid)"
        " WHERE q.sha256 = f.sha256 AND m.origin = %s AND m.media_id = %s",
        (origin, media_id),
    )


def set_protected(cur: Cursor, origin: str, media_id: str, protected: bool) -> bool:
    """May it no longer be quarantined? False if there is no such media."""
    cur.execute("UPDATE media SET protected = %s WHERE origin = %s AND media_id = %s", (protected, origin, media_id))
    return cur.rowcount == 1
