"""An application service of the tests: a real HTTP server on this machine, which says what the test wants said."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import pytest_twisted
from attrs import define, field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

# The status and the body, which is JSON unless it is bytes; what follows are headers, names and values.
Answer = tuple[Any, ...]
UNRECOGNIZED: Answer = (404, {"errcode": "M_UNRECOGNIZED"})


@frozen
class Asked:
    """A request as the service got it. `path` is as it came, percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str | None
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def segments(self) -> list[str]:
        return [unquote(part) for part in self.path.split("/")[1:]]


@define(eq=False)
class FakeService:
    """`answer` says what is said to a request; None: nothing, ever. It may be a coroutine function.

    `takes_transactions`: they are taken and kept in `transactions`, apart from what is asked.
    """

    answer: Callable[[Asked], Any]
    takes_transactions: bool = False
    asked: list[Asked] = field(factory=list)
    transactions: list[Asked] = field(factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class _Root(Resource):
    isLeaf = True

    def __init__(self, service: FakeService) -> None:
        super().__init__()
        self._service = service

    def render(self, request: Request) -> int:
        parts = urlsplit(request.uri.decode())
        asked = Asked(
            method=request.method.decode(),
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            authorization=request.getHeader("authorization"),
            body=request.content.read(),
        )
        if self._service.takes_transactions and "transactions" in asked.segments:
            self._service.transactions.append(asked)
            return _told(request, (200, {}))
        self._service.asked.append(asked)
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        Deferred.fromCoroutine(self._answer(request, asked, gone))
        return NOT_DONE_YET

    async def _answer(self, request: Request, asked: Asked, gone: list[object]) -> None:
        answer = self._service.answer(asked)
        if hasattr(answer, "__await__"):
            answer = await answer
        if answer is None or gone:
            return
        _told(request, answer)


def _told(request: Request, answer: Answer) -> int:
    status, body, *headers = answer
    request.setResponseCode(status)
    for name, value in headers:
        request.setHeader(name, value)
    request.write(body if isinstance(body, bytes) else orjson.dumps(body))
    request.finish()
    return NOT_DONE_YET


@contextmanager
def fake_service(answer: Callable[[Asked], Any]) -> Iterator[FakeService]:
    service = FakeService(answer)
    port = reactor.listenTCP(0, Site(_Root(service)), interface="127.0.0.1")  # type: ignore[attr-defined]
    service.port = port.getHost().port
    try:
        yield service
    finally:
        pytest_twisted.blockon(port.stopListening())
