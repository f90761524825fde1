"""Requests to other servers as Matrix has them: signed, JSON in and out, errors told apart, nobody asked in vain.

Source: server-server API, "API standards", "Request Authentication".
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import orjson
from attrs import evolve, field, frozen

from federation.outbound.destinations import Destinations
from federation.outbound.errors import BadAnswer, Refused, Unreachable
from federation.outbound.large_json import decode_in_turns
from federation.outbound.slots import Slots
from federation.outbound.wire import Wire, WireAnswer, WireRequest, WireStream
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.body import is_deeper
from matrix import canonical_json
from matrix.errors import NotCanonical
from matrix.ids import ServerName
from matrix.signing import SigningKey
from matrix.x_matrix import sign_encoded

T = TypeVar("T", WireAnswer, WireStream)
Query = Sequence[tuple[str, str]]

# JSON of answers without events: more has no use.
MAX_JSON_BYTES = 10 << 20
MAX_ERROR_BYTES = 65_536
# Decoded at once: some 3 ms.
LARGE_BYTES = 300_000
# orjson decodes so deep; events of any depth are judged one by one (event_format), not with the answer around them.
MAX_EVENT_DEPTH = 1024
# The first pause before a request is repeated; each further one is twice as long.
_PAUSE_S = 0.5
# A server that does not answer for so long counts as gone.
FAIR_S = 10.0
_REPEATED = frozenset({502, 503, 504})


@frozen(kw_only=True)
class Terms:
    """What a request may cost, and how it is made.

    `timeout_s` counts for all attempts together, where the operator has not changed `client_timeout`. `retries`: how
    often one that may be repeated is, where the network failed or a proxy answered; None: as the operator says.
    `is_repeatable`: PUT and GET are; a POST is if the caller says so.
    """

    timeout_s: float = 30.0
    max_bytes: int = MAX_JSON_BYTES
    max_depth: int = canonical_json.MAX_BODY_DEPTH
    even_if_backing_off: bool = False
    is_signed: bool = True
    retries: int | None = None
    is_repeatable: bool | None = None
    # The endpoint itself answers 502 or 504, of things that are too large or not there yet: the server is well.
    has_own_50x: bool = False


USUAL = Terms()


class MayTalkTo(Protocol):
    def __call__(self, server_name: str) -> bool: ...


@frozen(kw_only=True)
class Rules:
    """The operator's: whom to talk to, how patiently, and how often a request is repeated at once."""

    may_talk_to: MayTalkTo
    # All time-outs are in proportion to `client_timeout`, which is that of a minute.
    time_factor: float = 1.0
    retries: int = 1
    longest_pause_s: float = 2.0


@frozen
class _Asked:
    """A request that is made once or more."""

    destination: ServerName
    method: str
    target: str
    content: Any
    terms: Terms
    headers: Mapping[str, str] = field(factory=dict)


class Transport:
    """The one way to other servers. Raises Unreachable, Refused or BadAnswer, and nothing else."""

    def __init__(
        self,
        *,
        wire: Wire,
        destinations: Destinations,
        clock: Clock,
        server_name: ServerName,
        key: SigningKey,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self._wire = wire
        self._destinations = destinations
        self._clock = clock
        self._server_name = server_name
        self._key = key
        self._rules = rules
        self._slots = Slots(clock)
        outcomes = metrics.counter("federation_requests", "Requests to other servers", ["method", "outcome"])
        seconds = metrics.histogram("federation_request_seconds", "How long other servers take", ["method"])
        # Finding a metric by its labels costs more than counting.
        self._outcomes, self._seconds = cache(outcomes.labels), cache(seconds.labels)
        metrics.gauge_of(
            "federation_requests_waiting", "Requests that wait for their turn", lambda: self._slots.waiting
        )

    async def get(self, destination: ServerName, path: str, query: Query = (), terms: Terms = USUAL) -> Any:
        """The JSON of an answer 200. `path` is percent-encoded; `query` is not."""
        return await self._json(_Asked(destination, "GET", _target(path, query), None, terms))

    async def put(self, destination: ServerName, path: str, body: Any, query: Query = (), terms: Terms = USUAL) -> Any:
        """`body`: a value, or bytes that are canonical JSON already."""
        return await self._json(_Asked(destination, "PUT", _target(path, query), body, terms))

    async def post(self, destination: ServerName, path: str, body: Any, query: Query = (), terms: Terms = USUAL) -> Any:
        return await self._json(_Asked(destination, "POST", _target(path, query), body, terms))

    async def stream(
        self,
        destination: ServerName,
        path: str,
        query: Query = (),
        terms: Terms = USUAL,
    ) -> WireStream:
        """An answer 200 as it comes. `max_bytes` is for its body; `timeout_s` to its headers and for each pause."""
        asked = _Asked(destination, "GET", _target(path, query), None, terms)
        stream = await self._attempt(asked, self._wire.stream)
        if stream.status == 200:
            return stream
        raise self._refused(asked, WireAnswer(stream.status, stream.headers, await _beginning(stream)))

    async def _json(self, asked: _Asked) -> Any:
        answer = await self._attempt(asked, self._wire.send)
        if not 200 <= answer.status < 300:
            raise self._refused(asked, answer)
        if len(answer.body) > LARGE_BYTES:
            return await self._decode_large(asked, answer)
        return _decode(asked, answer)

    async def _decode_large(self, asked: _Asked, answer: WireAnswer) -> Any:
        """As `_decode`, without holding up others. Raises: BadAnswer."""
        try:
            value = await decode_in_turns(answer.body, self._clock)
        except ValueError as error:
            raise BadAnswer(asked.destination, "its answer is not JSON") from error
        _check_depth(asked, answer.body, value)
        return value

    async def _attempt(self, asked: _Asked, send: "Callable[[WireRequest], Awaitable[T]]") -> T:
        """The answer of the first attempt that has one."""
        self._check(asked)
        timeout_s = asked.terms.timeout_s * self._rules.time_factor
        async with self._slots.of(asked.destination, timeout_s):
            started_s = self._clock.seconds()
            try:
                return await self._repeatedly(asked, send, started_s + timeout_s)
            except Exception as error:
                self._outcomes(asked.method, type(error).__name__).inc()
                raise
            finally:
                self._seconds(asked.method).observe(self._clock.seconds() - started_s)

    async def _repeatedly(self, asked: _Asked, send: "Callable[[WireRequest], Awaitable[T]]", deadline_s: float) -> T:
        terms, asked_at_ms = asked.terms, self._clock.now_ms()
        repeatable = asked.method != "POST" if terms.is_repeatable is None else terms.is_repeatable
        retries = (self._rules.retries if terms.retries is None else terms.retries) if repeatable else 0
        request = self._request(asked, self._left_s(deadline_s))
        attempt = 0
        while True:
            try:
                answer = await send(request)
            except Unreachable:
                pause_s = self._pause(attempt, retries, deadline_s)
                if pause_s is None:
                    # Who gives a server no time, a user perhaps, has not found out whether it is gone.
                    if terms.timeout_s >= FAIR_S or self._clock.seconds() < deadline_s:
                        self._destinations.failed(asked.destination, asked_at_ms)
                    raise
            else:
                pause_s = self._pause(attempt, retries, deadline_s) if _is_failing(asked, answer) else None
                if pause_s is None:
                    self._took(asked, answer, asked_at_ms)
                    return answer
                if not isinstance(answer, WireAnswer):
                    answer.close()
            attempt += 1
            await self._clock.sleep(pause_s)
            request = evolve(request, timeout_s=self._left_s(deadline_s))

    def _left_s(self, deadline_s: float) -> float:
        return max(0.1, deadline_s - self._clock.seconds())

    def _pause(self, attempt: int, retries: int, deadline_s: float) -> float | None:
        """How long to wait before the request is repeated; None if it is not."""
        pause_s = min(self._rules.longest_pause_s, _PAUSE_S * 2 ** min(attempt, 20) * (1 + random.random()))
        return pause_s if attempt < retries and self._clock.seconds() + pause_s < deadline_s else None

    def _check(self, asked: _Asked) -> None:
        """Raises: Unreachable for a server that is not to be asked (now)."""
        if asked.destination == self._server_name:
            raise Unreachable(asked.destination, "that is this server")
        if not self._rules.may_talk_to(asked.destination):
            raise Unreachable(asked.destination, "it is not on the list of servers to talk to")
        if not asked.terms.even_if_backing_off:
            self._destinations.check(asked.destination)

    def _request(self, asked: _Asked, timeout_s: float) -> WireRequest:
        headers, body = {"Accept": "application/json", **asked.headers}, None
        if asked.content is not None:
            headers["Content-Type"] = "application/json"
            is_encoded = isinstance(asked.content, bytes)
            body = asked.content if is_encoded else canonical_json.encode(asked.content)
        if asked.terms.is_signed:
            headers["Authorization"] = sign_encoded(
                asked.method, asked.target, self._server_name, asked.destination, body or b"", self._key
            )
        return WireRequest(
            asked.destination, asked.method, asked.target, headers, body, timeout_s, asked.terms.max_bytes
        )

    def _took(self, asked: _Asked, answer: WireAnswer | WireStream, asked_at_ms: int) -> None:
        """What an answer says of the server: it lives, it wants to be left alone, or only its proxy lives."""
        status = answer.status
        self._outcomes(asked.method, f"{status // 100}xx").inc()
        if _is_failing(asked, answer):
            self._destinations.failed(asked.destination, asked_at_ms)
            return
        self._destinations.answered(asked.destination)
        if status == 429:
            wait_ms = self._retry_after_ms(answer)
            if wait_ms is not None:
                self._destinations.asked_to_wait(asked.destination, wait_ms)

    def _retry_after_ms(self, answer: WireAnswer | WireStream) -> int | None:
        """Source: RFC 9110, 10.2.3; client-server API, "Rate limiting"."""
        text = answer.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text) * 1000
        try:
            at = parsedate_to_datetime(text)
            return max(0, int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000) - self._clock.now_ms())
        except (ValueError, OverflowError, TypeError):
            pass
        fields = _parse(answer.body) if isinstance(answer, WireAnswer) else None
        wait_ms = fields.get("retry_after_ms") if isinstance(fields, dict) else None
        return wait_ms if isinstance(wait_ms, int) and 0 <= wait_ms < 10**12 else None

    def _refused(self, asked: _Asked, answer: WireAnswer) -> Refused:
        return Refused(asked.destination, answer.status, _parse(answer.body))


def _is_failing(asked: _Asked, answer: WireAnswer | WireStream) -> bool:
    """Is it a proxy that says so, because the server does not answer?"""
    is_own = asked.terms.has_own_50x and answer.headers.get("content-type", "").startswith("application/json")
    return answer.status in _REPEATED and not is_own


async def _beginning(stream: WireStream) -> bytes:
    """As much of a body as an error may have."""
    body = b""
    try:
        async for chunk in stream:
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    except (Unreachable, BadAnswer):
        # The status says enough.
        pass
    finally:
        stream.close()
    return body


def _target(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _parse(body: bytes) -> Any:
    """The JSON of an error, None if it is none."""
    try:
        value = canonical_json.decode(body[: MAX_ERROR_BYTES + 1])
    except NotCanonical:
        return None
    return value


def _decode(asked: _Asked, answer: WireAnswer) -> Any:
    """The JSON of an answer. Raises: BadAnswer.

    Integers beyond 64 bits become floats here: the event that has one fails its hash or signature, alone.
    """
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(asked.destination, "its answer is not JSON") from error
    _check_depth(asked, answer.body, value)
    return value


def _check_depth(asked: _Asked, body: bytes, value: Any) -> None:
    """Raises: BadAnswer."""
    depth = asked.terms.max_depth
    may_be_deeper = depth < MAX_EVENT_DEPTH and body.count(b"{") + body.count(b"[") > depth
    if may_be_deeper and is_deeper(value, depth):
        raise BadAnswer(asked.destination, "its answer is nested too deeply")
