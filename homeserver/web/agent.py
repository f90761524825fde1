"""Outgoing plain HTTP, for push gateways, bridges and previews: guarded addresses, bounded time and size.

The guard sits where a connection is made, after all resolving: `connectTCP` is given the very address that will be
used, be it from a literal, a redirect, or a name that resolves differently each time (DNS rebinding).

Twisted's Agent rather than treq, which always asks for gzip: a bomb of a few kB would unpack to gigabytes before any
limit of ours could see it.
"""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import hyperlink
import orjson
from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as TwistedTimeout
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IConnector, IConsumer, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (  # type: ignore[attr-defined]
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import directlyProvides, implementer, providedBy

from homeserver.web.addresses import AddressRefused, AddressRules
from homeserver.web.response_body import ResponseBody

# What browsers and proxies still take.
MAX_URL_CHARACTERS = 8192
_NO_HEADERS: Mapping[str, str] = {}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NETWORK_ERRORS = (
    ConnectError,
    ConnectionClosed,
    ConnectingCancelledError,
    DNSLookupError,
    OSError,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
    SchemeNotSupported,
)


@frozen
class Bounds:
    """What a request may cost. `timeout_s` counts for everything together, redirects included.

    Answers of gateways and bridges are small JSON. Redirects are followed only without a body, and not by default.
    `https_only`: a redirect to plain HTTP is a failure.
    """

    timeout_s: float = 30.0
    max_bytes: int = 1024 * 1024
    max_redirects: int = 0
    https_only: bool = False


DEFAULT_BOUNDS = Bounds()


class FetchFailed(Exception):
    """No usable answer: refused address, network fault, time or size limit, too many redirects."""


class FetchTimedOut(FetchFailed):
    """The time was up before the answer was whole, or before there was a connection."""


@frozen
class Fetched:
    """An answer. `headers` are by lower-case name, the last of a repeated one; `url` is where redirects led."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Raises: FetchFailed if the body is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise FetchFailed("the answer is not JSON") from error


@frozen
class Streamed:
    """An answer whose body is still to come: read it to its end, or `close` it. `headers` as in Fetched."""

    status: int
    headers: Mapping[str, str]
    body: ResponseBody


class GuardedReactor:
    """The reactor, but for connections to addresses that the rules refuse."""

    def __init__(self, reactor: Any, rules: AddressRules) -> None:
        self._reactor = reactor
        self._rules = rules
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(
        self, host: str, port: int, factory: IProtocolFactory, timeout: float = 30, bindAddress: Any = None
    ) -> IConnector:
        """Raises: AddressRefused."""
        self._rules.check(host)
        return cast(IConnector, self._reactor.connectTCP(host, port, factory, timeout, bindAddress))


class OutgoingHttp:
    """Asks web servers whose addresses strangers name."""

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        rules: AddressRules,
        user_agent: str = "Hearth",
        policy: IPolicyForHTTPS | None = None,
        connections_per_host: int = 8,
    ) -> None:
        guarded = GuardedReactor(reactor, rules)
        pool = HTTPConnectionPool(guarded, persistent=True)  # type: ignore[no-untyped-call]
        pool.maxPersistentPerHost = connections_per_host
        self._reactor = reactor
        self._pool = pool
        self._user_agent = user_agent
        policy = policy or BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]
        self._agent = Agent(guarded, policy, connectTimeout=10, pool=pool)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Closes the idle connections."""
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    async def get(
        self, url: str, *, headers: Mapping[str, str] = _NO_HEADERS, bounds: Bounds = DEFAULT_BOUNDS
    ) -> Fetched:
        """Raises: FetchFailed."""
        return await self.request("GET", url, headers=headers, bounds=bounds)

    async def send_json(
        self,
        method: str,
        url: str,
        value: Any,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> Fetched:
        """Sends a JSON body. Raises: FetchFailed."""
        headers = {"Content-Type": "application/json", **headers}
        return await self.request(method, url, body=orjson.dumps(value), headers=headers, bounds=bounds)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> Fetched:
        """The whole answer, of any status. Raises: FetchFailed."""
        sent = {"User-Agent": self._user_agent, **headers}
        asked = _Asked(method, url, body, Headers({name: [value] for name, value in sent.items()}), bounds)
        # A coroutine of its own only so that the clock can cancel it; it ends before this one does.
        running = Deferred.fromCoroutine(self._follow(asked, bounds.max_redirects))
        timer = self._reactor.callLater(bounds.timeout_s, running.cancel)
        try:
            return await running
        except Exception as error:
            if timer.active():
                raise
            raise FetchTimedOut(f"no answer in {bounds.timeout_s:g} s") from error
        finally:
            if timer.active():
                timer.cancel()

    async def stream(
        self, url: str, *, headers: Mapping[str, str] = _NO_HEADERS, bounds: Bounds = DEFAULT_BOUNDS
    ) -> Streamed:
        """An answer of any status, as it comes; `bounds.timeout_s` is for its headers, then for each pause.

        Raises: FetchFailed. How long the body may be is up to the caller.
        """
        sent = {"User-Agent": self._user_agent, **headers}
        asked = _Asked("GET", url, None, Headers({name: [value] for name, value in sent.items()}), bounds)
        for left in range(bounds.max_redirects, -1, -1):
            running = Deferred.fromCoroutine(self._ask(asked))
            try:
                response = await running.addTimeout(bounds.timeout_s, self._reactor)
            except TwistedTimeout as error:
                raise FetchTimedOut(f"no answer in {bounds.timeout_s:g} s") from error
            body = ResponseBody(self._reactor, bounds.timeout_s)
            response.deliverBody(body)  # type: ignore[no-untyped-call]
            location = response.headers.getRawHeaders("location")
            if response.code not in _REDIRECTS or not location or not bounds.max_redirects:
                return Streamed(response.code, _plain(response), body)
            body.close()
            if left:
                asked = asked.redirected(location[0])
        raise FetchFailed("too many redirects")

    async def _follow(self, asked: "_Asked", redirects: int) -> Fetched:
        for left in range(redirects, -1, -1):
            response = await self._ask(asked)
            body = await _collect(response, asked.bounds.max_bytes)
            location = response.headers.getRawHeaders("location")
            is_followed = redirects and asked.body is None and response.code in _REDIRECTS and location
            if not is_followed or not location:
                return Fetched(response.code, _plain(response), body, asked.url)
            if left:
                asked = asked.redirected(location[0])
        raise FetchFailed("too many redirects")

    async def _ask(self, asked: "_Asked") -> IResponse:
        producer = None if asked.body is None else _BytesBody(asked.body)
        try:
            url = _uri(asked.url, asked.bounds.https_only)
            return await self._agent.request(asked.method.encode(), url, asked.headers, producer)
        except AddressRefused as error:
            raise FetchFailed(str(error)) from error
        except ConnectTimeout as error:
            raise FetchTimedOut("no connection in time") from error
        except (*_NETWORK_ERRORS, ValueError) as error:
            raise FetchFailed(f"{type(error).__name__}: {error}"[:300]) from error


@frozen
class _Asked:
    """A request to be sent."""

    method: str
    url: str
    body: bytes | None
    headers: Headers
    bounds: Bounds

    def redirected(self, location: str) -> "_Asked":
        """The same request to where a redirect points; what is secret stays with the host it was meant for.

        Raises: FetchFailed, if it points nowhere.
        """
        try:
            url = urljoin(self.url, location)
            is_elsewhere = urlsplit(url)[:2] != urlsplit(self.url)[:2]
        except ValueError as error:
            raise FetchFailed("a redirect to what is no URL") from error
        headers = self.headers.copy()
        if is_elsewhere:
            headers.removeHeader("authorization")
            headers.removeHeader("cookie")
        return evolve(self, url=url, headers=headers)


@implementer(IBodyProducer)
class _BytesBody:
    """A request body that is in memory already."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written."""

    def resumeProducing(self) -> None:
        """All is written."""

    def stopProducing(self) -> None:
        """All is written."""


class _Collector(Protocol):
    """Gathers an answer's body up to a limit."""

    transport: Any

    def __init__(self, max_bytes: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._max_bytes = max_bytes
        self._body = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_bytes:
            self._stop()
            self._fail(f"the answer is larger than {self._max_bytes} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Without a Content-Length the end of the connection is the end of the body: PotentialDataLoss.
        if not reason.check(ResponseDone, PotentialDataLoss):  # type: ignore[no-untyped-call]
            self._fail(f"the answer broke off: {reason.getErrorMessage()}")
        elif not self.done.called:
            self.done.callback(bytes(self._body))

    def _fail(self, message: str) -> None:
        if not self.done.called:
            self.done.errback(FetchFailed(message))

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


async def _collect(response: IResponse, max_bytes: int) -> bytes:
    collector = _Collector(max_bytes)
    response.deliverBody(collector)  # type: ignore[no-untyped-call]
    return await collector.done


def _plain(response: IResponse) -> dict[str, str]:
    pairs = response.headers.getAllRawHeaders()
    return {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in pairs}


def _uri(url: str, https_only: bool) -> bytes:
    """The URL in ASCII (percent-encoding, IDNA). Raises: ValueError, FetchFailed for what is not plain HTTP(S)."""
    if len(url) > MAX_URL_CHARACTERS:
        raise FetchFailed("the URL is too long")
    uri = hyperlink.URL.from_text(url).to_uri()
    if uri.scheme not in ("https" if https_only else "http", "https") or not uri.host or uri.userinfo:
        raise FetchFailed("not an HTTP URL")
    return bytes(uri.to_text().encode("ascii"))
