"""A request to a service: its token, bounded time and size, and the paths of older services.

The guard of the outgoing agent is open here: the URL was written by the administrator, and a bridge is usually on this
machine. Redirects are not followed, so that no answer leads elsewhere.

Services of before 2019 know other paths. They are tried when a service does not know the path that is specified, and
used first for an hour if they were right. (The specification would fall back on any failure; but a service that answers
500 knows the path, and would be asked everything twice while it is in trouble.)

Source: application service API, "Authorisation", "Legacy routes", "Unknown routes".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore

from appservice.errors import BadAnswer, Refused, TimedOut, Unreachable
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.web.agent import Bounds, Fetched, FetchFailed, FetchTimedOut, OutgoingHttp
from matrix import canonical_json
from matrix.errors import NotCanonical

V1 = "/_matrix/app/v1"
# How long older paths are asked first, and how long a question that a service does not know is not asked.
LEGACY_S = 3600.0
UNKNOWN_S = 60.0
# How much of a refusal is kept: enough to see what is wrong.
MAX_REFUSAL_CHARACTERS = 4096
_MAX_REMEMBERED = 10_000
# Of one service: strangers can ask for any name in its namespace. More than wait are not asked.
ASKED_AT_ONCE, MAX_WAITING = 50, 500

Query = Sequence[tuple[str, str]]


class Service(Protocol):
    """What is needed of a registration."""

    @property
    def id(self) -> str: ...

    @property
    def url(self) -> str | None: ...

    @property
    def hs_token(self) -> str: ...


@frozen(kw_only=True)
class Question:
    """One request. `legacy_path`: where older services take it. `body`: JSON.

    `takes_turns`: with other questions, of which there may be any number.
    """

    method: str
    path: str
    legacy_path: str | None = None
    query: Query = ()
    body: bytes | None = None
    bounds: Bounds
    has_query_token: bool = True
    takes_turns: bool = True


class Asking:
    """Sends questions. `sends_query_token`: the operator's use_appservice_legacy_authorization."""

    def __init__(self, *, http: OutgoingHttp, clock: Clock, sends_query_token: bool) -> None:
        self._http = http
        self._sends_query_token = sends_query_token
        self._turns: dict[str, DeferredSemaphore] = {}
        self._is_legacy: Lru[tuple[str, str], bool] = Lru("appservice_legacy", _MAX_REMEMBERED, clock, LEGACY_S)
        self._is_unknown: Lru[tuple[str, str], bool] = Lru("appservice_unknown", _MAX_REMEMBERED, clock, UNKNOWN_S)

    async def ask(self, service: Service, question: Question) -> Fetched:
        """A successful answer. Raises: AppserviceError."""
        if question.takes_turns:
            answer = await self._in_turn(service, question)
        else:
            answer = await self._with_fallback(service, question)
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, answer.body.decode("utf-8", "replace")[:MAX_REFUSAL_CHARACTERS])
        return answer

    async def ask_json(self, service: Service, question: Question) -> Any:
        """The JSON of a successful answer, of bounded depth. Raises: AppserviceError."""
        answer = await self.ask(service, question)
        try:
            return canonical_json.decode(answer.body)
        except NotCanonical as error:
            raise BadAnswer(f"the answer is no JSON: {error}") from error

    async def ask_if_known(self, service: Service, question: Question) -> Any:
        """As ask_json; None if the service does not know such questions, which is remembered for a minute.

        Raises: AppserviceError.
        """
        key = (_address(service), question.path)
        if self._is_unknown.get(key):
            return None
        try:
            return await self.ask_json(service, question)
        except Refused as error:
            if not is_unknown_path(error.status, error.body):
                raise
            self._is_unknown.set(key, True)
            return None

    async def _in_turn(self, service: Service, question: Question) -> Fetched:
        turns = self._turns.setdefault(service.id, DeferredSemaphore(ASKED_AT_ONCE))
        if len(turns.waiting) >= MAX_WAITING:
            raise TimedOut("the service is asked too many questions")
        return await turns.run(lambda: Deferred.fromCoroutine(self._with_fallback(service, question)))

    async def _with_fallback(self, service: Service, question: Question) -> Fetched:
        if question.legacy_path is None:
            return await self._send(service, question, question.path)
        key = (_address(service), _kind(question))
        paths = [question.path, question.legacy_path]
        is_legacy = self._is_legacy.get(key, False)
        first, second = reversed(paths) if is_legacy else paths
        answer = await self._send(service, question, first)
        if not is_unknown_path(answer.status, answer.body):
            return answer
        other = await self._send(service, question, second)
        if is_unknown_path(other.status, other.body):
            return answer
        self._is_legacy.set(key, not is_legacy)
        return other

    async def _send(self, service: Service, question: Question, path: str) -> Fetched:
        if service.url is None:
            raise Unreachable("the service has no URL")
        headers = {"Authorization": f"Bearer {service.hs_token}"}
        if question.body is not None:
            headers["Content-Type"] = "application/json"
        url = service.url.rstrip("/") + path
        query = list(question.query)
        if self._sends_query_token and question.has_query_token:
            query.append(("access_token", service.hs_token))
        if query:
            url += "?" + urlencode(query)
        try:
            return await self._http.request(
                question.method, url, body=question.body, headers=headers, bounds=question.bounds
            )
        except FetchTimedOut as error:
            raise TimedOut(str(error)) from error
        except FetchFailed as error:
            raise Unreachable(str(error)) from error


def _address(service: Service) -> str:
    # What was learnt of one address holds no longer when the registration has another.
    return f"{service.id}|{service.url}"


def _kind(question: Question) -> str:
    """The path without what differs from question to question: of transactions, users, rooms, third parties."""
    return question.path.removeprefix(V1).split("/")[1]


def is_unknown_path(status: int, body: str | bytes) -> bool:
    """Does the service say that it knows no such path or method?

    It should say M_UNRECOGNIZED; frameworks answer with a page or with nothing, and Python's aiohttp with text.
    """
    text = body.encode() if isinstance(body, str) else body
    if status not in (400, 404, 405, 501):
        return False
    try:
        value = canonical_json.decode(text)
    except NotCanonical:
        return status != 400
    return isinstance(value, dict) and value.get("errcode") == "M_UNRECOGNIZED"


def versioned(*segments: str) -> str:
    return V1 + _joined(segments)


def unversioned(*segments: str) -> str:
    """Where the oldest services take transactions, users and rooms."""
    return _joined(segments)


def unstable(*segments: str) -> str:
    """Where older services take look-ups of third parties."""
    return "/_matrix/app/unstable" + _joined(segments)


def _joined(segments: Sequence[str]) -> str:
    return "".join("/" + quote(segment, safe="") for segment in segments)


def query_of(fields: Mapping[str, Sequence[str]]) -> Query:
    return [(name, value) for name, values in fields.items() for value in values]
