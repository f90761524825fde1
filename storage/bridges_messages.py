"""The message map of bridges: messages, reactions, threads, votes, and copies of files."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from storage.bridges import bridge_text

JsonDict = dict[str, Any]
# Something to be written, with the bridge's id.
Write = Callable[[Cursor, str], None]

_COLUMNS = (
    "channel_id", "message_id", "part_id", "event_id", "user_id", "person_id", "is_ours", "login_id", "thread_id",
    "version", "sent_ms", "is_deleted", "memo", "actions",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM bridge_messages WHERE bridge = %s"
_PUT = (
    f"INSERT INTO bridge_messages (bridge, {', '.join(_COLUMNS)}) VALUES %s"
    " ON CONFLICT (bridge, channel_id, message_id, part_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[3:])
)


@frozen(kw_only=True)
class MessageRow:
    """One message, or one part of it, and its event."""

    channel_id: str
    message_id: str
    event_id: str
    user_id: str
    part_id: str = ""
    person_id: str | None = None
    is_ours: bool = False
    login_id: str | None = None
    thread_id: str | None = None
    version: str = ""
    sent_ms: int = 0
    is_deleted: bool = False
    memo: JsonDict = field(factory=dict)
    actions: list[Any] | None = None


def _message(row: tuple[Any, ...]) -> MessageRow:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["memo"] = orjson.loads(values["memo"])
    if values["actions"] is not None:
        values["actions"] = orjson.loads(values["actions"])
    return MessageRow(**values)


AT_ONCE = 100


_DONE = "WITH done AS (DELETE FROM bridge_inbox WHERE bridge = %s AND seq = %s) "


def put_messages(cur: Cursor, bridge: str, rows: Sequence[MessageRow], done: int | None = None) -> None:
    """New ones, or known ones as they are now; what they came from is `done` and leaves the inbox with that.

    One statement for each AT_ONCE.
    """
    leaving = "" if done is None else cur.mogrify(_DONE, (bridge, done)).decode().replace("%", "%%")
    values = []
    for row in rows:
        cells = [getattr(row, name) for name in _COLUMNS]
        cells[-2] = bridge_text(row.memo)
        cells[-1] = None if row.actions is None else orjson.dumps(row.actions).decode()
        values.append((bridge, *cells))
    if values:
        execute_values(cur, leaving + _PUT, values, page_size=AT_ONCE)


def message(cur: Cursor, bridge: str, channel_id: str, message_id: str) -> list[MessageRow]:
    """Its parts, in the order in which they came."""
    cur.execute(f"{_SELECT} AND channel_id = %s AND message_id = %s ORDER BY seq", (bridge, channel_id, message_id))
    return [_message(row) for row in cur]


def messages(cur: Cursor, bridge: str, channel_id: str, message_ids: list[str]) -> list[MessageRow]:
    cur.execute(
        f"{_SELECT} AND channel_id = %s AND message_id = ANY(%s) ORDER BY seq", (bridge, channel_id, message_ids)
    )
    return [_message(row) for row in cur]


def event(cur: Cursor, bridge: str, event_id: str) -> list[MessageRow]:
    """What an event is on the network; several rows for a text that was sent in pieces."""
    cur.execute(f"{_SELECT} AND event_id = %s ORDER BY seq", (bridge, event_id))
    return [_message(row) for row in cur]


def newest(cur: Cursor, bridge: str, channel_id: str, limit: int) -> list[MessageRow]:
    """The newest of a channel, the newest first."""
    cur.execute(f"{_SELECT} AND channel_id = %s ORDER BY sent_ms DESC, seq DESC LIMIT %s", (bridge, channel_id, limit))
    return [_message(row) for row in cur]


def newest_in_thread(cur: Cursor, bridge: str, channel_id: str, thread_id: str, until_ms: int) -> MessageRow | None:
    cur.execute(
        f"{_SELECT} AND channel_id = %s AND thread_id = %s AND sent_ms <= %s ORDER BY sent_ms DESC, seq DESC LIMIT 1",
        (bridge, channel_id, thread_id, until_ms),
    )
    row = cur.fetchone()
    return None if row is None else _message(row)


def oldest(cur: Cursor, bridge: str, channel_id: str) -> MessageRow | None:
    cur.execute(f"{_SELECT} AND channel_id = %s ORDER BY sent_ms, seq LIMIT 1", (bridge, channel_id))
    row = cur.fetchone()
    return None if row is None else _message(row)


def mark_deleted(cur: Cursor, bridge: str, channel_id: str, message_id: str, part_id: str | None = None) -> None:
    cur.execute(
        "UPDATE bridge_messages SET is_deleted = true, actions = NULL"
        " WHERE bridge = %s AND channel_id = %s AND message_id = %s AND (%s::text IS NULL OR part_id = %s)",
        (bridge, channel_id, message_id, part_id, part_id),
    )


@frozen(kw_only=True)
class ReactionRow:
    channel_id: str
    message_id: str
    user_id: str
    emoji_id: str
    event_id: str
    is_relayed: bool = False


_REACTION = "channel_id, message_id, user_id, emoji_id, event_id, is_relayed"


def _reactions(cur: Cursor) -> list[ReactionRow]:
    return [
        ReactionRow(
            channel_id=channel_id,
            message_id=message_id,
            user_id=user_id,
            emoji_id=emoji_id,
            event_id=event_id,
            is_relayed=is_relayed,
        )
        for channel_id, message_id, user_id, emoji_id, event_id, is_relayed in cur
    ]


def reactions(cur: Cursor, bridge: str, channel_id: str, message_id: str) -> list[ReactionRow]:
    cur.execute(
        f"SELECT {_REACTION} FROM bridge_reactions WHERE bridge = %s AND channel_id = %s AND message_id = %s",
        (bridge, channel_id, message_id),
    )
    return _reactions(cur)


def reaction_of_event(cur: Cursor, bridge: str, event_id: str) -> ReactionRow | None:
    cur.execute(f"SELECT {_REACTION} FROM bridge_reactions WHERE bridge = %s AND event_id = %s", (bridge, event_id))
    return next(iter(_reactions(cur)), None)


def reaction_count(cur: Cursor, bridge: str, channel_id: str, message_id: str, user_id: str, emoji_id: str) -> int:
    """How often the user has taken this reaction back."""
    return last_change(cur, bridge, channel_id, message_id, f"reaction {user_id} {emoji_id}")


def last_change(cur: Cursor, bridge: str, channel_id: str, message_id: str, what: str) -> int:
    cur.execute(
        "SELECT count FROM bridge_changes WHERE bridge = %s AND channel_id = %s AND message_id = %s AND what = %s",
        (bridge, channel_id, message_id, what),
    )
    row = cur.fetchone()
    return 0 if row is None else int(row[0])


def put_reaction(cur: Cursor, bridge: str, row: ReactionRow) -> None:
    cur.execute(
        f"INSERT INTO bridge_reactions (bridge, {_REACTION}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (bridge, channel_id, message_id, user_id, emoji_id) DO UPDATE SET event_id = excluded.event_id",
        (bridge, row.channel_id, row.message_id, row.user_id, row.emoji_id, row.event_id, row.is_relayed),
    )


def delete_reaction(cur: Cursor, bridge: str, row: ReactionRow) -> None:
    cur.execute(
        "DELETE FROM bridge_reactions WHERE bridge = %s AND channel_id = %s AND message_id = %s AND user_id = %s"
        " AND emoji_id = %s",
        (bridge, row.channel_id, row.message_id, row.user_id, row.emoji_id),
    )
    if cur.rowcount:
        _count(cur, bridge, row.channel_id, row.message_id, f"reaction {row.user_id} {row.emoji_id}")


def _count(cur: Cursor, bridge: str, channel_id: str, message_id: str, what: str) -> None:
    cur.execute(
        "INSERT INTO bridge_changes (bridge, channel_id, message_id, what, count) VALUES (%s, %s, %s, %s, 1)"
        " ON CONFLICT (bridge, channel_id, message_id, what) DO UPDATE SET count = bridge_changes.count + 1",
        (bridge, channel_id, message_id, what),
    )


@frozen(kw_only=True)
class ThreadRow:
    channel_id: str
    thread_id: str
    root_message_id: str | None
    root_event_id: str


def _thread(cur: Cursor) -> ThreadRow | None:
    row = cur.fetchone()
    if row is None:
        return None
    return ThreadRow(channel_id=row[0], thread_id=row[1], root_message_id=row[2], root_event_id=row[3])


_THREAD = "SELECT channel_id, thread_id, root_message_id, root_event_id FROM bridge_threads WHERE bridge = %s"


def thread(cur: Cursor, bridge: str, channel_id: str, thread_id: str) -> ThreadRow | None:
    cur.execute(f"{_THREAD} AND channel_id = %s AND thread_id = %s", (bridge, channel_id, thread_id))
    return _thread(cur)


def thread_of_event(cur: Cursor, bridge: str, event_id: str) -> ThreadRow | None:
    cur.execute(f"{_THREAD} AND root_event_id = %s", (bridge, event_id))
    return _thread(cur)


def thread_of_message(cur: Cursor, bridge: str, channel_id: str, message_id: str) -> ThreadRow | None:
    cur.execute(f"{_THREAD} AND channel_id = %s AND root_message_id = %s", (bridge, channel_id, message_id))
    return _thread(cur)


def put_thread(cur: Cursor, bridge: str, row: ThreadRow) -> None:
    cur.execute(
        "INSERT INTO bridge_threads (bridge, channel_id, thread_id, root_message_id, root_event_id)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (bridge, row.channel_id, row.thread_id, row.root_message_id, row.root_event_id),
    )


def votes(cur: Cursor, bridge: str, channel_id: str, message_id: str) -> dict[str, list[str]]:
    """Answers by voter."""
    cur.execute(
        "SELECT voter, answers FROM bridge_votes WHERE bridge = %s AND channel_id = %s AND message_id = %s",
        (bridge, channel_id, message_id),
    )
    return {voter: orjson.loads(answers) for voter, answers in cur}


def count_votes(cur: Cursor, bridge: str, channel_id: str, message_id: str, voter: str) -> int:
    """How often the voter has chosen."""
    return last_change(cur, bridge, channel_id, message_id, f"vote {voter}")


def put_vote(cur: Cursor, bridge: str, channel_id: str, message_id: str, voter: str, answers: Sequence[str]) -> None:
    cur.execute(
        "INSERT INTO bridge_votes (bridge, channel_id, message_id, voter, answers) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (bridge, channel_id, message_id, voter) DO UPDATE SET answers = excluded.answers",
        (bridge, channel_id, message_id, voter, orjson.dumps(list(answers)).decode()),
    )
    _count(cur, bridge, channel_id, message_id, f"vote {voter}")


def find_copy(cur: Cursor, bridge: str, file_id: str) -> tuple[str, JsonDict] | None:
    """(mxc, info) of a file that was copied."""
    cur.execute("SELECT mxc, info FROM bridge_copies WHERE bridge = %s AND file_id = %s", (bridge, file_id))
    row = cur.fetchone()
    return None if row is None else (row[0], orjson.loads(row[1]))


def put_copy(cur: Cursor, bridge: str, file_id: str, mxc: str, info: JsonDict) -> None:
    cur.execute(
        "INSERT INTO bridge_copies (bridge, file_id, mxc, info) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (bridge, file_id, mxc, orjson.dumps(info).decode()),
    )


def emoji_of_images(cur: Cursor, bridge: str, mxcs: list[str]) -> dict[str, str]:
    """Emoji ids by mxc."""
    cur.execute("SELECT mxc, emoji_id FROM bridge_emoji WHERE bridge = %s AND mxc = ANY(%s)", (bridge, mxcs))
    return dict(cur.fetchall())


def emoji_named(cur: Cursor, bridge: str, name: str) -> str | None:
    cur.execute("SELECT emoji_id FROM bridge_emoji WHERE bridge = %s AND name = %s LIMIT 1", (bridge, name))
    row = cur.fetchone()
    return None if row is None else str(row[0])


def put_emoji(cur: Cursor, bridge: str, emoji_id: str, name: str, mxc: str) -> None:
    cur.execute(
        "INSERT INTO bridge_emoji (bridge, emoji_id, name, mxc) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (bridge, emoji_id) DO UPDATE SET name = excluded.name, mxc = excluded.mxc",
        (bridge, emoji_id, name, mxc),
    )
