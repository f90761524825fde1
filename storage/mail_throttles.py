"""What was told by mail, by pusher and room: so that nobody gets a mail for each message."""

from collections.abc import Mapping, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage import pushers


@frozen
class Throttle:
    """The last mail about a room. `throttle_ms`: no mail because of this room so long after it."""

    sent_ms: int = 0
    throttle_ms: int = 0
    event_ms: int = 0  # of the newest event that it told of


def find_throttles(cur: Cursor, pusher_ids: Sequence[int]) -> dict[int, dict[int, Throttle]]:
    """By pusher and room."""
    cur.execute(
        "SELECT pusher_id, room_nid, sent_ms, throttle_ms, event_ms FROM mail_throttles WHERE pusher_id = ANY(%s)",
        (list(pusher_ids),),
    )
    found: dict[int, dict[int, Throttle]] = {}
    for pusher_id, room_nid, *values in cur:
        found.setdefault(pusher_id, {})[room_nid] = Throttle(*values)
    return found


def have_mailed(cur: Cursor, pusher_id: int, position: int, throttles: Mapping[int, Throttle]) -> None:
    """A mail told of these rooms; up to the position everything is told. Nothing, if the pusher is no more."""
    cur.execute(
        "INSERT INTO mail_throttles (pusher_id, room_nid, sent_ms, throttle_ms, event_ms)"
        " SELECT %s, v.* FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[]) AS v"
        " WHERE EXISTS (SELECT FROM pushers WHERE pusher_id = %s)"
        " ON CONFLICT (pusher_id, room_nid) DO UPDATE SET sent_ms = excluded.sent_ms,"
        " throttle_ms = excluded.throttle_ms, event_ms = excluded.event_ms",
        (
            pusher_id,
            list(throttles),
            [one.sent_ms for one in throttles.values()],
            [one.throttle_ms for one in throttles.values()],
            [one.event_ms for one in throttles.values()],
            pusher_id,
        ),
    )
    pushers.move(cur, {pusher_id: position})
