"""Who sends bad input to a whole homeserver, and judges what comes of it.

After every request: an answer of the spec's form with the CORS headers, no 5xx, nothing logged as an error; and if it
was refused, the database is as it was.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg2
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.logger import LogLevel, globalLogPublisher

from tests.support.endpoints import Endpoint
from tests.support.homeserver import V3, Homeserver
from tests.support.http import MemoryClient, Response

# No request of bad input has a reason to take long; a long-poll does.
PATIENCE_S = 60
# What a refusal may make: the session of the user-interactive API; and what comes round by itself, soon after what was
# accepted before: heartbeats, folds, news for other servers, the end of who is online or typing.
_UNTOLD = (
    "ui_auth_sessions", "committers", "federation_shards", "destinations",
    "user_directory", "user_directory_progress", "user_directory_rooms",
    "stream_readers", "device_list_updates", "federation_broadcasts", "stream_head", "presence",
    "event_words", "event_words_progress",
)  # fmt: skip
_TOLD_OF = {"stream": " WHERE kind NOT IN ('federation', 'presence', 'typing')"}
# When somebody was seen or something was looked at, and how far readers of the stream have come.
_RESTLESS = "{last_seen_ms,last_seen_ip,last_seen_user_agent,last_access_ms,position}"


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """What Twisted's log and Python's are told at the level of errors."""
    found: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None or event.get("log_level") in (LogLevel.error, LogLevel.critical):
            found.append(failure.getTraceback()[-1500:] if failure is not None else str(event.get("log_format")))

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # The server has no loop of asyncio's: that is a bridge which another test killed, found by the collector.
            if record.name != "asyncio":
                found.append(record.getMessage())

    handler = Handler(logging.ERROR)
    globalLogPublisher.addObserver(observe)
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(observe)
        logging.getLogger().removeHandler(handler)


class Digest:
    """What is in the database: of each table the number of its rows and their hash."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True
        tables = self._query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        self._sql = " UNION ALL ".join(
            f"SELECT '{table}', count(*), coalesce(sum(hashtext((to_jsonb(t) - '{_RESTLESS}'::text[])::text)), 0)"
            f" FROM {table} t{_TOLD_OF.get(table, '')}"
            for (table,) in tables
            if table not in _UNTOLD
        )

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        cur = self._connection.cursor()
        cur.execute(sql)
        return cur.fetchall()

    def mark(self) -> Any:
        """Cheap: as long as it is the same, no transaction has written."""
        return self._query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")

    def take(self) -> dict[str, Any]:
        return {table: (count, value) for table, count, value in self._query(self._sql)}

    def close(self) -> None:
        self._connection.close()


@define(eq=False)
class Attacker:
    """Gathers `faults`, each a line that says what was asked and what is wrong."""

    hs: Homeserver
    digest: Digest
    logged: list[str]
    faults: list[str] = field(factory=list, init=False)
    _mark: Any = field(default=None, init=False)
    # What is in the database at the mark; None if it is not known.
    _before: Mapping[str, Any] | None = field(default=None, init=False)

    def fault(self, what: str, wrong: object) -> None:
        self.faults.append(f"{what}: {wrong}")

    async def ask(
        self, endpoint: Endpoint, url: str, *, what: str, body: bytes | None = None, token: str | None = None
    ) -> Response | None:
        """The answer, judged; None if there was none."""
        if body is None and endpoint.method in ("POST", "PUT"):
            body = b"{}"
        return await self.send(endpoint.method, url, what=f"{endpoint} [{what}]", body=body, token=token)

    async def send(
        self, method: str, url: str, *, what: str, body: bytes | None = None, token: str | None = None
    ) -> Response | None:
        """As `ask`, without an endpoint; a path without a leading /_ is one of v3."""
        url = url if url.startswith(("/_", "/.")) else V3 + url
        client = MemoryClient(self.hs.server.router, reactor=reactor)
        self._note_what_others_did()
        answer = client.request(method, url, body=body, token=token)
        try:
            response = await answer.addTimeout(PATIENCE_S, reactor)
        except NoAnswer:
            return self.fault(what, "no answer")
        self._judge(what, response)
        return response

    def _judge(self, what: str, response: Response) -> None:
        for wrong in _wrongs(response):
            self.fault(what, wrong)
        for line in self.logged:
            self.fault(what, f"logged {line}")
        self.logged.clear()
        mark = self.digest.mark()
        if mark != self._mark:
            self._compare(what, is_refused=400 <= response.status < 500)
            self._mark = mark

    def _note_what_others_did(self) -> None:
        mark = self.digest.mark()
        if mark != self._mark:
            self._mark, self._before = mark, None

    def _compare(self, what: str, *, is_refused: bool) -> None:
        """Something was written. After a refusal it may only be what does not count."""
        if not is_refused:
            self._before = None
            return
        before, self._before = self._before, self.digest.take()
        # Not known, after a success: then it is found at the next refusal that writes.
        if before is not None and before != self._before:
            moved = [table for table, value in self._before.items() if before[table] != value]
            self.fault(what, f"refused, and yet it changed {moved}")

    def expect(self, what: str, response: Response | None, *allowed: tuple[int, str]) -> None:
        """Is it one of these statuses and errcodes?"""
        if response is not None and (response.status, _errcode(response)) not in allowed:
            self.fault(what, f"{response.status} {response.body[:150]!r} and not {allowed}")


def _errcode(response: Response) -> str:
    try:
        return str(response.errcode)
    except orjson.JSONDecodeError:
        return "no JSON"


def _wrongs(response: Response) -> Iterator[str]:
    if response.headers.get("access-control-allow-origin") != "*":
        yield "no CORS headers"
    # 502 and 504: another server was to be asked, and the tests' homeserver reaches none.
    if response.status >= 500 and response.status not in (502, 504):
        yield f"{response.status} {response.body[:200]!r}"
    if response.status < 400:
        return
    try:
        told = response.json
    except orjson.JSONDecodeError:
        yield f"{response.status} without JSON: {response.body[:100]!r}"
        return
    is_error = str(told.get("errcode")).startswith("M_") and isinstance(told.get("error"), str)
    # The user-interactive API has a 401 of its own.
    if not is_error and not {"flows", "session"} <= told.keys():
        yield f"{response.status} is no error of the spec's form: {response.body[:200]!r}"


@contextmanager
def attacking(hs: Homeserver) -> Iterator[Attacker]:
    digest = Digest(hs.dsn)
    with errors_logged() as logged:
        yield Attacker(hs, digest, logged)
    digest.close()
