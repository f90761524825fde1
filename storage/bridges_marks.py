"""Up to where a bridge has seen the messages of each channel, and whether something after that was missed."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

# Before every message of a channel.
BEGINNING = "0"


@frozen(kw_only=True)
class Mark:
    """`message_id` "": nobody knows. `missed` is given back to `caught_up`; 0: nothing was missed."""

    message_id: str
    sent_ms: int
    since_ms: int
    missed: int


def find(cur: Cursor, bridge: str, channel_id: str) -> Mark | None:
    cur.execute(
        "SELECT message_id, sent_ms, since_ms, missed FROM bridge_marks WHERE bridge = %s AND channel_id = %s",
        (bridge, channel_id),
    )
    row = cur.fetchone()
    return None if row is None else Mark(message_id=row[0], sent_ms=row[1], since_ms=row[2], missed=row[3])


# What the bridge has sent says nothing of what came before it: it is sent without a connection too. Where nothing else
# is known, all that came after the first of it may be new.
_NEWEST = """
    SELECT message_id, sent_ms FROM (
        (SELECT message_id, sent_ms, 1 AS rank FROM bridge_messages AS m
         WHERE m.bridge = %(bridge)s AND m.channel_id = c.channel_id AND thread_id IS NULL AND NOT is_ours
         ORDER BY sent_ms DESC, seq DESC LIMIT 1)
        UNION ALL
        (SELECT message_id, sent_ms, 2 FROM bridge_messages AS m
         WHERE m.bridge = %(bridge)s AND m.channel_id = c.channel_id AND thread_id IS NULL
         ORDER BY sent_ms, seq LIMIT 1)
    ) AS known ORDER BY rank LIMIT 1
"""
# Forums have nothing but threads.
_HEARD = """
    SELECT sent_ms FROM bridge_messages AS m
    WHERE m.bridge = %(bridge)s AND m.channel_id = c.channel_id AND NOT is_ours ORDER BY sent_ms DESC, seq DESC LIMIT 1
"""
_NOTE = f"""
    INSERT INTO bridge_marks AS mark (bridge, channel_id, message_id, sent_ms, since_ms, missed)
    SELECT %(bridge)s, c.channel_id, coalesce(newest.message_id, ''), coalesce(newest.sent_ms, 0),
           coalesce(heard.sent_ms, 0), 1
    FROM unnest(%(channels)s::text[]) AS c (channel_id)
    LEFT JOIN LATERAL ({_NEWEST}) AS newest ON true
    LEFT JOIN LATERAL ({_HEARD}) AS heard ON true
    ON CONFLICT (bridge, channel_id) DO UPDATE SET
        missed = mark.missed + 1,
        message_id = CASE WHEN mark.missed = 0 AND excluded.sent_ms > mark.sent_ms
                     THEN excluded.message_id ELSE mark.message_id END,
        sent_ms = CASE WHEN mark.missed = 0 THEN greatest(mark.sent_ms, excluded.sent_ms) ELSE mark.sent_ms END,
        since_ms = CASE WHEN mark.missed = 0 AND excluded.since_ms > 0 THEN excluded.since_ms ELSE mark.since_ms END
"""


def note_missed(cur: Cursor, bridge: str, channels: Sequence[str]) -> None:
    """Something may have come to these channels unseen: their marks stay where they are until it is made up for."""
    cur.execute(_NOTE, {"bridge": bridge, "channels": sorted(channels)})


def saw(cur: Cursor, bridge: str, channel_id: str, message_id: str, sent_ms: int) -> None:
    """Everything up to this message came by itself."""
    cur.execute(
        "INSERT INTO bridge_marks AS mark (bridge, channel_id, message_id, sent_ms, since_ms)"
        " VALUES (%s, %s, %s, %s, 0) ON CONFLICT (bridge, channel_id) DO UPDATE"
        " SET message_id = excluded.message_id, sent_ms = excluded.sent_ms"
        " WHERE mark.missed = 0 AND mark.sent_ms < excluded.sent_ms",
        (bridge, channel_id, message_id, sent_ms),
    )


def move(cur: Cursor, bridge: str, channel_id: str, message_id: str, sent_ms: int) -> None:
    """Everything up to this message has been made up for."""
    cur.execute(
        "INSERT INTO bridge_marks AS mark (bridge, channel_id, message_id, sent_ms, since_ms)"
        " VALUES (%s, %s, %s, %s, 0) ON CONFLICT (bridge, channel_id) DO UPDATE"
        " SET message_id = excluded.message_id, sent_ms = excluded.sent_ms WHERE mark.sent_ms <= excluded.sent_ms",
        (bridge, channel_id, message_id, sent_ms),
    )


def begin(cur: Cursor, bridge: str, channel_id: str, message_id: str, sent_ms: int, now_ms: int) -> None:
    """The room begins after this message, and now: threads that are older are no part of it."""
    cur.execute(
        "INSERT INTO bridge_marks AS mark (bridge, channel_id, message_id, sent_ms, since_ms)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (bridge, channel_id) DO UPDATE"
        " SET message_id = excluded.message_id, sent_ms = excluded.sent_ms, since_ms = excluded.since_ms",
        (bridge, channel_id, message_id, sent_ms, now_ms),
    )


def caught_up(cur: Cursor, bridge: str, channel_id: str, missed: int) -> None:
    """What was noted so often is made up for; what was noted since is not."""
    cur.execute(
        "UPDATE bridge_marks SET missed = greatest(0, missed - %s) WHERE bridge = %s AND channel_id = %s",
        (missed, bridge, channel_id),
    )
