"""What users reported: the administrators read it."""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId, RoomId, UserId


@frozen(kw_only=True)
class Report:
    """Of an event, which has its room too, of a room, or of a user."""

    reporter: UserId
    room_id: RoomId | None = None
    event_id: EventId | None = None
    user_id: UserId | None = None
    reason: str | None = None
    score: int | None = None


def add_report(cur: Cursor, report: Report, now_ms: int) -> int:
    """The report's number."""
    cur.execute(
        "INSERT INTO reports (received_ms, reporter, room_id, event_id, user_id, reason, score)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING report_id",
        (now_ms, report.reporter, report.room_id, report.event_id, report.user_id, report.reason, report.score),
    )
    row = cur.fetchone()
    assert row is not None
    return int(row[0])
