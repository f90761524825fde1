"""User-interactive authentication in progress: which stages of which operation a client has completed."""

from typing import Any

import orjson
from attrs import frozen
from psycopg2.extensions import cursor as Cursor


@frozen
class UiAuthSession:
    """`completed`: the results by stage, in the order of completion."""

    session_id: str
    created_ms: int
    operation: str
    completed: dict[str, Any]


def find_session(cur: Cursor, session_id: str) -> UiAuthSession | None:
    cur.execute(
        "SELECT session_id, created_ms, operation, completed FROM ui_auth_sessions WHERE session_id = %s",
        (session_id,),
    )
    row = cur.fetchone()
    return None if row is None else _session(*row)


def _session(session_id: str, created_ms: int, operation: str, completed: str) -> UiAuthSession:
    return UiAuthSession(session_id, created_ms, operation, orjson.loads(completed))


def put_session(cur: Cursor, session: UiAuthSession) -> None:
    cur.execute(
        "INSERT INTO ui_auth_sessions (session_id, created_ms, operation, completed) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (session_id) DO UPDATE SET completed = excluded.completed",
        (session.session_id, session.created_ms, session.operation, orjson.dumps(session.completed).decode()),
    )


def complete_stage(cur: Cursor, session_id: str, stage: str, result: Any) -> bool:
    """A stage was completed by other means than the request itself. False if there is no such session."""
    session = find_session(cur, session_id)
    if session is None:
        return False
    session.completed.setdefault(stage, result)
    put_session(cur, session)
    return True


def delete_session(cur: Cursor, session_id: str) -> bool:
    """False if it was gone already: an authentication is good for one operation."""
    cur.execute("DELETE FROM ui_auth_sessions WHERE session_id = %s", (session_id,))
    return cur.rowcount > 0


def take_expired(cur: Cursor, before_ms: int, limit: int = 1000) -> list[UiAuthSession]:
    """Deletes sessions begun before that time, at most `limit`, and gives them."""
    cur.execute(
        "DELETE FROM ui_auth_sessions WHERE session_id IN"
        " (SELECT session_id FROM ui_auth_sessions WHERE created_ms < %s ORDER BY created_ms LIMIT %s)"
        " RETURNING session_id, created_ms, operation, completed",
        (before_ms, limit),
    )
    return [_session(*row) for row in cur]


def use_once(cur: Cursor, name: str, operation: str, now_ms: int) -> bool:
    """False if a nonce of this name has been used. It is trimmed with the sessions."""
    cur.execute(
        "INSERT INTO ui_auth_sessions (session_id, created_ms, operation, completed) VALUES (%s, %s, %s, '{}')"
        " ON CONFLICT DO NOTHING",
        (name, now_ms, operation),
    )
    return cur.rowcount > 0
