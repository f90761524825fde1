"""User-interactive authentication: an operation that a client may do only after completing the stages of a flow.

An endpoint calls `await ui_auth.require(call, flows, ...)`. It returns what the stages found out, or raises the 401
that tells the client what is left to do. Sessions are in the database, because the next request of the same client may
come to another process, and a page in a browser may complete a stage.

Source: client-server API, "User-Interactive Authentication API".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, frozen

from homeserver.runtime.clock import Clock
from homeserver.services.users.sessions import Sessions
from homeserver.services.users.tokens import new_token
from homeserver.web.call import Call
from homeserver.web.params import Fields
from matrix.errors import BadRequest, Forbidden, MatrixError
from matrix.ids import UserId
from storage import ui_auth as rows
from storage.database import Database
from storage.ui_auth import UiAuthSession

DUMMY = "m.login.dummy"
EMAIL = "m.login.email.identity"
PASSWORD = "m.login.password"  # noqa: S105
REGISTRATION_TOKEN = "m.login.registration_token"  # noqa: S105

# As Synapse: who has not finished after two days begins anew.
SESSION_LIFETIME_MS = 48 * 3600 * 1000

Flows = Sequence[Sequence[str]]
Completed = Mapping[str, Any]

PASSWORD_FLOWS: Flows = [[PASSWORD]]


@frozen
class Attempt:
    """A client's try at a stage. `user_id`: who must be proved, where that is known."""

    auth: Fields
    call: Call
    user_id: UserId | None


class WrongUser(Forbidden):
    """A good proof, of another user: to try again with it would be of no use, and the operation is refused."""


class Stage(Protocol):
    """One kind of proof."""

    async def check(self, attempt: Attempt) -> Any:
        """What the proof shows, as JSON that is not null. Raises: MatrixError; 401 and 403 may be tried again, but not
        WrongUser.
        """
        ...

    async def abandon(self, results: list[Any]) -> None:
        """Results of sessions that were never finished."""
        ...


class Dummy:
    """m.login.dummy, which always succeeds."""

    async def check(self, attempt: Attempt) -> Any:
        return True

    async def abandon(self, results: list[Any]) -> None:
        pass


class AuthIncomplete(MatrixError):
    """The 401 of the user-interactive API. `fault` is why the last attempt failed."""

    def __init__(self, session: UiAuthSession, flows: Flows, params: Mapping[str, Any], fault: MatrixError | None):
        super().__init__(401, "M_FORBIDDEN", "Authentication is not complete")
        self._body: dict[str, Any] = {
            "session": session.session_id,
            "flows": [{"stages": list(flow)} for flow in flows],
            "params": dict(params),
        }
        if session.completed:
            self._body["completed"] = list(session.completed)
        if fault is not None:
            self._body.update(fault.body())

    def body(self) -> dict[str, Any]:
        return self._body


class UiAuth:
    """`stages` by their types. `timeout_ms`: for so long a session need not be proved again (`session_timeout`)."""

    def __init__(
        self, *, db: Database, clock: Clock, sessions: Sessions, stages: Mapping[str, Stage], timeout_ms: int = 0
    ) -> None:
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._stages = dict(stages)
        self._timeout_ms = timeout_ms

    async def require(
        self,
        call: Call,
        flows: Flows,
        *,
        user_id: UserId | None = None,
        params: Mapping[str, Any] | None = None,
        may_skip: bool = False,
    ) -> Completed:
        """What the completed stages found out, by stage. The authentication is then used up.

        The request's body is JSON with an optional `auth`. `may_skip`: nothing is asked of a session that was proved
        lately. Raises: AuthIncomplete; BadRequest for an unknown session; Forbidden for another operation's.
        """
        if may_skip and await self._is_fresh(call):
            return {}
        auth = call.json(empty_ok=True).optional_object("auth")
        session, is_stored = await self._session(call, auth)
        fault = None
        if auth is not None and (kind := auth.optional_text("type")) is not None and kind not in session.completed:
            session, fault = await self._attempt(session, flows, kind, Attempt(auth, call, user_id))
        done = list(session.completed)
        if fault is None and any(_is_completed(flow, done) for flow in flows) and auth is not None:
            if is_stored and not await self._db.run(rows.delete_session, session.session_id):
                raise BadRequest("The session has been used", "M_UNKNOWN")
            if call.requester is not None and self._timeout_ms:
                await self._sessions.mark_validated(call.requester)
            return session.completed
        if fault is None or not is_stored:
            await self._db.run(rows.put_session, session)
        raise AuthIncomplete(session, flows, params or {}, fault)

    async def require_password(self, call: Call) -> None:
        """The requester gives the password, once more. Raises: as `require`."""
        await self.require(call, PASSWORD_FLOWS, user_id=call.user.user_id)

    async def complete(self, session_id: str, stage: str, result: Any) -> bool:
        """A stage was completed in a browser. False if there is no such session."""
        return await self._db.run(rows.complete_stage, session_id, stage, result)

    async def awaits(self, session_id: str, stage: str) -> bool:
        """Is there such a session, in which the stage is not completed?"""
        session = await self._db.read(rows.find_session, session_id)
        if session is None or session.created_ms + SESSION_LIFETIME_MS < self._clock.now_ms():
            return False
        return stage not in session.completed

    async def trim(self) -> None:
        """Drops sessions that nobody finishes. Called every hour or so."""
        expired = await self._db.run(rows.take_expired, self._clock.now_ms() - SESSION_LIFETIME_MS)
        for kind, stage in self._stages.items():
            results = [session.completed[kind] for session in expired if kind in session.completed]
            if results:
                await stage.abandon(results)

    async def _is_fresh(self, call: Call) -> bool:
        token = call.access_token()
        if not self._timeout_ms or token is None or call.user.token_id is None:
            return False
        session = await self._sessions.authenticate(token)
        return (session.validated_ms or 0) + self._timeout_ms > self._clock.now_ms()

    async def _session(self, call: Call, auth: Fields | None) -> tuple[UiAuthSession, bool]:
        """The session that the request names, or a new one; and whether it is in the database."""
        operation = f"{call.method} {call.path}"
        session_id = None if auth is None else auth.optional_text("session")
        if session_id is None:
            return UiAuthSession(new_token("uia"), self._clock.now_ms(), operation, {}), False
        session = await self._db.read(rows.find_session, session_id)
        if session is None or session.created_ms + SESSION_LIFETIME_MS < self._clock.now_ms():
            raise BadRequest("Unknown session", "M_UNKNOWN")
        if session.operation != operation:
            raise Forbidden("Requested operation has changed during the UI authentication session.")
        return session, True

    async def _attempt(
        self, session: UiAuthSession, flows: Flows, kind: str, attempt: Attempt
    ) -> tuple[UiAuthSession, MatrixError | None]:
        stage = self._stages.get(kind)
        if stage is None or kind not in next_stages(flows, list(session.completed)):
            return session, Forbidden(f"{kind[:100]} is not the next stage of any flow")
        try:
            result = await stage.check(attempt)
        except MatrixError as error:
            if error.status not in (401, 403) or isinstance(error, WrongUser):
                raise
            return session, error
        return evolve(session, completed={**session.completed, kind: result}), None


def next_stages(flows: Flows, done: list[str]) -> set[str]:
    """What may be attempted after the completed stages: flows are to be followed in their order."""
    return {flow[len(done)] for flow in flows if len(flow) > len(done) and list(flow[: len(done)]) == done}


def _is_completed(flow: Sequence[str], done: list[str]) -> bool:
    return list(flow) == done[: len(flow)]
