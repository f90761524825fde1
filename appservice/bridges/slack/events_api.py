"""The Events API over HTTP: signed requests from Slack. Source: docs.slack.dev, "Verifying requests from Slack".

A request is answered when core has it durably; Slack tries again what was not answered within 3 seconds, and core drops
what it has already.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

from appservice.bridges.slack.team import Team
from homeserver.runtime.clock import Clock
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route
from matrix.errors import MatrixError

EVENTS, ACTIONS = "/slack/events", "/slack/actions"
MAX_BODY_BYTES = 2 * 1024 * 1024

JsonDict = dict[str, Any]
Accept = Callable[[Team, JsonDict], Awaitable[bool]]


class EventsApi:
    """Its routes, for core's HTTP server."""

    def __init__(self, *, teams: list[Team], clock: Clock, accept: Accept) -> None:
        self._teams = teams
        self._accept = accept
        self._verifiers = [
            (team, SignatureVerifier(team.options.signing_secret, _Now(clock)))
            for team in teams
            if team.options.signing_secret
        ]

    @route("POST", EVENTS, access=Access.PUBLIC, max_body_bytes=MAX_BODY_BYTES)
    async def events(self, call: Call) -> Answer:
        raw = bytes(call.body)
        signers = self._signers(call, raw)
        payload = _object(raw)
        if payload.get("type") == "url_verification":
            return Reply(200, str(payload.get("challenge", "")).encode(), "text/plain")
        return await self._taken(signers, payload)

    @route("POST", ACTIONS, access=Access.PUBLIC, max_body_bytes=MAX_BODY_BYTES)
    async def actions(self, call: Call) -> Answer:
        raw = bytes(call.body)
        signers = self._signers(call, raw)
        try:
            form = parse_qs(raw.decode("utf-8", "replace"), max_num_fields=10)
        except ValueError:
            form = {}
        return await self._taken(signers, _object(form.get("payload", [""])[0].encode("utf-8", "replace")))

    async def _taken(self, signers: list[Team], payload: JsonDict) -> Answer:
        team = payload.get("team_id") or (payload.get("team") or {}).get("id")
        for signer in signers:
            if signer.id == team or (not signer.is_ready and len(signers) == 1):
                if await self._accept(signer, payload):
                    return Reply(200, b"", "text/plain")
                raise MatrixError(503, "M_UNKNOWN", "Try again")
        raise MatrixError(404, "M_NOT_FOUND", "The app is not known for this workspace")

    def _signers(self, call: Call, raw: bytes) -> list[Team]:
        """The workspaces whose app has signed the request. Raises: MatrixError."""
        stamp = call.headers.get("x-slack-request-timestamp") or ""
        signature = call.headers.get("x-slack-signature") or ""
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 15 or not signature.isascii():
            raise _unsigned()
        try:
            body = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _unsigned() from None
        signers = [team for team, verifier in self._verifiers if verifier.is_valid(body, stamp, signature)]
        if not signers:
            raise _unsigned()
        return signers


class _Now(SlackClock):
    """slack_sdk asks the time of this."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now_ms() / 1000


def _unsigned() -> MatrixError:
    return MatrixError(401, "M_UNAUTHORIZED", "The request is not signed by Slack, or is too old")


def _object(raw: bytes) -> JsonDict:
    try:
        value = orjson.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MatrixError(400, "M_NOT_JSON", "The body is no JSON object")
    return value
