"""The directory of users: whom one finds by name.

Theory of operation. Rows are folded from the stream in batches, in the background and before each search. A batch does
not carry names: it says who may have changed, and their rows are made anew from what is true now, so that taking up
the same positions twice does no harm. Of our own users the profile counts, and no name that they have in single rooms.
Of others' users we know only member events: that of a public room is public; one of a private room is not, so their
servers have to be asked (`ask_after_ms`).

Who may find whom is asked when somebody searches, of the memberships as they are then.

Source: client-server API, "User Directory".
"""

from collections.abc import Collection, Iterable, Sequence

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage import user_words
from storage.change import Insert
from storage.prepared import Often
from storage.stream import KEEP, head_position

# Of those who match and may be found, so many are ranked.
MAX_RANKED = 10_000
MAX_NAME_CHARACTERS, MAX_URL_CHARACTERS = 256, 1000

_PUT = Insert(
    "user_directory",
    {
        "user_id": "text",
        "is_local": "bool",
        "display_name": "text",
        "avatar_url": "text",
        "words": "tsvector",
        "ask_after_ms": "bigint",
    },
    key=("user_id",),
    on_conflict="update",
)
# Rooms that anybody may join or read, and that a user of ours is in: of others we hear nothing. In steps: who plans it
# as a whole, knowing little of the tables yet, asks for our users at each of a room's thousands of members.
_PUBLIC = r"""
WITH named AS MATERIALIZED (
    SELECT s.room_nid, s.state_key_nid, s.event_nid FROM room_state s
    WHERE s.until IS NULL {of_rooms} AND s.state_key_nid = ANY(ARRAY(SELECT state_key_nid FROM state_keys
        WHERE state_key = '' AND type IN ('m.room.join_rules', 'm.room.history_visibility')))),
told AS MATERIALIZED (
    SELECT n.room_nid, k.type, replace(e.json, '\u0000', '')::json -> 'content' AS content
    FROM named n JOIN state_keys k USING (state_key_nid) JOIN events e USING (event_nid)),
public AS MATERIALIZED (
    SELECT DISTINCT room_nid FROM told
    WHERE type = 'm.room.join_rules' AND content ->> 'join_rule' = 'public'
        OR type = 'm.room.history_visibility' AND content ->> 'history_visibility' = 'world_readable')
SELECT p.room_nid FROM public p WHERE EXISTS (SELECT 1 FROM memberships m JOIN users USING (user_id)
    WHERE m.room_nid = p.room_nid AND m.membership = 'join')
"""
_ALL_PUBLIC = _PUBLIC.format(of_rooms="")
_PUBLIC_OF = _PUBLIC.format(of_rooms="AND s.room_nid = ANY(%s::int[])")


def take_up(cur: Cursor, limit: int) -> bool:
    """Folds up to `limit` positions, or users while the directory is made. Is there anything left to take up?"""
    cur.execute("SELECT position, after FROM user_directory_progress FOR UPDATE")
    row = cur.fetchone()
    head = head_position(cur)
    if row is None or head - row[0] > KEEP:
        return _begin(cur, head)
    position, after = row
    if after is not None:
        return _take_up_all(cur, after, limit)
    upto = min(head, position + limit)
    if upto > position:
        users = _touched_users(cur, position, upto)
        _put(cur, users | _update_rooms(cur, _touched_rooms(cur, position, upto)))
        cur.execute("UPDATE user_directory_progress SET position = %s", (upto,))
    return bool(upto < head)


def _begin(cur: Cursor, head: int) -> bool:
    # First, for who begins at the same time: there was no row for them to wait at, and there is one now.
    cur.execute(
        "INSERT INTO user_directory_progress (position, after) VALUES (%s, '')"
        " ON CONFLICT (one) DO UPDATE SET position = excluded.position, after = ''",
        (head,),
    )
    cur.execute("DELETE FROM user_directory_rooms")
    cur.execute(f"INSERT INTO user_directory_rooms (room_nid) {_ALL_PUBLIC}")
    return True


def _take_up_all(cur: Cursor, after: str, limit: int) -> bool:
    """While the directory is made for the first time: the next users."""
    cur.execute(
        "(SELECT user_id FROM users WHERE user_id > %(after)s ORDER BY 1 LIMIT %(limit)s) UNION"
        " (SELECT DISTINCT user_id FROM memberships WHERE user_id > %(after)s AND membership = 'join'"
        " ORDER BY 1 LIMIT %(limit)s) ORDER BY 1 LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    users = [user_id for (user_id,) in cur]
    _put(cur, users)
    cur.execute("UPDATE user_directory_progress SET after = %s", (users[-1] if len(users) == limit else None,))
    return True


def _touched_users(cur: Cursor, since: int, upto: int) -> set[str]:
    cur.execute(
        "SELECT user_id FROM stream WHERE position > %(since)s AND position <= %(upto)s AND user_id IS NOT NULL"
        " AND kind IN ('profile', 'cache') UNION"
        " SELECT k.state_key FROM events e JOIN state_keys k USING (state_key_nid)"
        " WHERE e.position > %(since)s AND e.position <= %(upto)s AND k.type = 'm.room.member'",
        {"since": since, "upto": upto},
    )
    return {user_id for (user_id,) in cur}


def _touched_rooms(cur: Cursor, since: int, upto: int) -> list[int]:
    """Rooms that may have become public, or cease to be."""
    cur.execute(
        "SELECT room_nid FROM stream WHERE position > %(since)s AND position <= %(upto)s AND kind = 'room' UNION"
        " SELECT e.room_nid FROM events e JOIN state_keys k USING (state_key_nid)"
        " WHERE e.position > %(since)s AND e.position <= %(upto)s"
        " AND (k.type IN ('m.room.join_rules', 'm.room.history_visibility')"
        "  OR k.type = 'm.room.member' AND EXISTS (SELECT 1 FROM users u WHERE u.user_id = k.state_key))",
        {"since": since, "upto": upto},
    )
    return [room_nid for (room_nid,) in cur if room_nid is not None]


def _update_rooms(cur: Cursor, room_nids: list[int]) -> set[str]:
    """Puts right which of the rooms are public; gives the users of other servers whose names may be so too now."""
    if not room_nids:
        return set()
    cur.execute(Often(_PUBLIC_OF), (room_nids,))
    public = {room_nid for (room_nid,) in cur}
    cur.execute("SELECT room_nid FROM user_directory_rooms WHERE room_nid = ANY(%s)", (room_nids,))
    listed = {room_nid for (room_nid,) in cur}
    if public == listed:
        return set()
    cur.execute("DELETE FROM user_directory_rooms WHERE room_nid = ANY(%s)", (list(listed - public),))
    cur.execute("INSERT INTO user_directory_rooms (room_nid) SELECT unnest(%s::int[])", (list(public - listed),))
    cur.execute(
        "SELECT m.user_id FROM memberships m WHERE m.room_nid = ANY(%s) AND m.membership = 'join'"
        " AND NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = m.user_id)",
        (list(public ^ listed),),
    )
    return {user_id for (user_id,) in cur}


def _put(cur: Cursor, user_ids: Collection[str]) -> None:
    """Makes the rows of users anew."""
    if not user_ids:
        return
    wanted = sorted(user_ids)
    cur.execute(
        "SELECT u.user_id, u.is_deactivated OR u.user_type IS NOT DISTINCT FROM 'support', p.displayname, p.avatar_url"
        " FROM users u LEFT JOIN profiles p USING (user_id) WHERE u.user_id = ANY(%s)",
        (wanted,),
    )
    ours = {user_id: rest for user_id, *rest in cur}
    rows = [_row(user_id, True, name, url) for user_id, (is_hidden, name, url) in ours.items() if not is_hidden]
    remote = [user_id for user_id in wanted if user_id not in ours]
    gone = [user_id for user_id, (is_hidden, *_) in ours.items() if is_hidden]
    if remote:
        rows += _public_names(cur, remote)
        named = {row[0] for row in rows}
        gone += _ask_for(cur, [user_id for user_id in remote if user_id not in named])
    if rows:
        _PUT.execute(cur, rows)
    if gone:
        cur.execute("DELETE FROM user_directory WHERE user_id = ANY(%s)", (gone,))


_Row = tuple[str, bool, str | None, str | None, str, None]


def _row(user_id: str, is_local: bool, name: object, url: object) -> _Row:
    display_name = _text(name, MAX_NAME_CHARACTERS)
    avatar_url = _text(url, MAX_URL_CHARACTERS)
    return user_id, is_local, display_name, avatar_url, user_words.vector(user_id, display_name), None


def _text(value: object, limit: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= limit and "\x00" not in value else None


def _public_names(cur: Cursor, user_ids: Sequence[str]) -> list[_Row]:
    """Rows of users of other servers, by the newest member event of each in a public room."""
    cur.execute(
        "SELECT v.user_id, e.json FROM (SELECT DISTINCT ON (m.user_id) m.user_id, m.event_nid"
        " FROM memberships m JOIN user_directory_rooms USING (room_nid)"
        " WHERE m.user_id = ANY(%s) AND m.membership = 'join' ORDER BY m.user_id, m.position DESC) v"
        " JOIN events e USING (event_nid)",
        (list(user_ids),),
    )
    rows = []
    for user_id, json in cur:
        content = orjson.loads(json)["content"]
        rows.append(_row(user_id, False, content.get("displayname"), content.get("avatar_url")))
    return rows


def _ask_for(cur: Cursor, user_ids: Sequence[str]) -> list[str]:
    """Notes that servers must be asked for users who are in private rooms only; gives those who are in no room."""
    cur.execute(
        "SELECT DISTINCT user_id FROM memberships WHERE user_id = ANY(%s) AND membership = 'join'", (list(user_ids),)
    )
    here = [user_id for (user_id,) in cur]
    cur.execute(
        "INSERT INTO user_directory (user_id, is_local, words, ask_after_ms)"
        " SELECT user_id, false, words::tsvector, 0 FROM unnest(%s::text[], %s::text[]) AS v (user_id, words)"
        " ON CONFLICT (user_id) DO UPDATE SET ask_after_ms = 0",
        (here, [user_words.vector(user_id, None) for user_id in here]),
    )
    return sorted(set(user_ids) - set(here))


def find_to_ask(cur: Cursor, now_ms: int, again_ms: int, limit: int) -> list[str]:
    """Users whose servers are to be asked now; they are not given again before `again_ms`."""
    cur.execute(
        "UPDATE user_directory SET ask_after_ms = %s WHERE user_id IN (SELECT user_id FROM user_directory"
        " WHERE ask_after_ms <= %s ORDER BY ask_after_ms LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING user_id",
        (again_ms, now_ms, limit),
    )
    return [user_id for (user_id,) in cur]


def put_answers(cur: Cursor, answers: Iterable[tuple[str, object, object]]) -> None:
    """(user_id, display name, avatar) as their servers said. Who is gone meanwhile stays so."""
    rows = [_row(user_id, False, name, url) for user_id, name, url in answers]
    cur.execute(
        "UPDATE user_directory d SET display_name = v.name, avatar_url = v.url, words = v.words::tsvector,"
        " ask_after_ms = NULL FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS v (user_id, name, url,"
        " words) WHERE d.user_id = v.user_id AND d.ask_after_ms IS NOT NULL",
        ([row[0] for row in rows], [row[2] for row in rows], [row[3] for row in rows], [row[4] for row in rows]),
    )


@frozen
class Found:
    user_id: str
    display_name: str | None
    avatar_url: str | None


@frozen(kw_only=True)
class Search:
    """`rooms` are those of the searcher. `finds_all`: all whom we know, whoever they share rooms with."""

    searcher: str
    term: str
    limit: int
    rooms: Sequence[int]
    finds_all: bool = False
    local_first: bool = False
    local_only: bool = False
    shows_locked: bool = False


_FIND = """
WITH found AS MATERIALIZED (
    SELECT d.* FROM user_directory d LEFT JOIN users u USING (user_id)
    WHERE d.words @@ %(by_prefix)s::tsquery AND d.user_id <> %(searcher)s AND (d.is_local OR NOT %(local_only)s)
        AND (u.user_id IS NULL OR NOT u.is_deactivated AND (%(shows_locked)s OR NOT u.is_locked))
        AND (%(finds_all)s OR EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = d.user_id
            AND m.membership = 'join' AND (m.room_nid = ANY(%(rooms)s::int[])
                OR EXISTS (SELECT 1 FROM user_directory_rooms r WHERE r.room_nid = m.room_nid))))
    LIMIT %(ranked)s)
SELECT user_id, display_name, avatar_url FROM found
ORDER BY user_id = %(term)s DESC, lower(display_name) = lower(%(term)s) DESC NULLS LAST,
    CASE WHEN is_local AND %(local_first)s THEN 2 ELSE 1 END
    * CASE WHEN display_name IS NULL THEN 1 ELSE 1.2 END * CASE WHEN avatar_url IS NULL THEN 1 ELSE 1.2 END
    * (3 * ts_rank_cd('{0.1, 0.1, 0.9, 1}', words, %(whole)s::tsquery, 8)
        + ts_rank_cd('{0.1, 0.1, 0.9, 1}', words, %(by_prefix)s::tsquery, 8)) DESC,
    display_name IS NULL, avatar_url IS NULL, user_id
LIMIT %(limit)s
"""


def search(cur: Cursor, asked: Search) -> list[Found]:
    """Those who match all words of the term, the best first.

    The weights are Synapse's: whole words before beginnings of words, names before domains.
    """
    by_prefix = user_words.query(asked.term, by_prefix=True)
    if not by_prefix:
        return []
    whole = user_words.query(asked.term, by_prefix=False)
    values = {
        "by_prefix": by_prefix,
        "whole": whole,
        "searcher": asked.searcher,
        "term": asked.term,
        "rooms": list(asked.rooms),
        "finds_all": asked.finds_all,
        "local_first": asked.local_first,
        "local_only": asked.local_only,
        "shows_locked": asked.shows_locked,
        "ranked": MAX_RANKED,
        "limit": asked.limit,
    }
    cur.execute(_FIND, values)
    return [Found(*row) for row in cur]
