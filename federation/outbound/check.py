"""Can a server be federated with? Each step of reaching it, told to whoever runs one of the two.

Source: server-server API, "Server discovery", "Retrieving server keys".
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import evolve, field, frozen
from cryptography import x509

from federation.outbound.connection import ClientConnection
from federation.outbound.errors import RemoteError, Unreachable
from federation.outbound.https import HttpsWire
from federation.outbound.resolve import Route
from federation.outbound.srv import Target
from federation.outbound.wire import WireAnswer, WireRequest, collect
from homeserver.runtime.clock import Clock
from matrix import canonical_json
from matrix.errors import BadSignature, NotCanonical
from matrix.ids import ServerName
from matrix.server_keys import KeyAnswer, read_key_answer

TIMEOUT_S = 20.0
MAX_BYTES = 256 * 1024
# Signatures and rate limits bear some difference; beyond this, people see messages in the wrong order.
MAX_SKEW_S = 10
_SOON_DAYS = 14
_STEPS = {
    "1": "its name is an IP address",
    "2": "its name has a port",
    "3.1": "delegated by .well-known to an IP address",
    "3.2": "delegated by .well-known to a name with a port",
    "3.3": "delegated by .well-known, then by an SRV record (_matrix-fed)",
    "3.4": "delegated by .well-known, then by an SRV record of the deprecated kind (_matrix)",
    "3.5": "delegated by .well-known, port 8448",
    "4": "no .well-known, by an SRV record (_matrix-fed)",
    "5": "no .well-known, by an SRV record of the deprecated kind (_matrix)",
    "6": "no .well-known and no SRV record, port 8448",
}


def _printable(text: str) -> str:
    """Without what would move the cursor of who reads it: the text may be the other server's."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@frozen
class Finding:
    """One thing that was looked at, and whether it is as it should be."""

    topic: str = field(converter=_printable)
    text: str = field(converter=_printable)
    is_good: bool = True


class ServerCheck:
    def __init__(self, *, wire: HttpsWire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock

    async def findings(self, server: ServerName) -> AsyncIterator[Finding]:
        """What is found, step by step; it ends where nothing further can be."""
        try:
            route = await self._wire.resolve(server)
        except Unreachable as error:
            yield Finding("Discovery", error.reason, False)
            return
        yield Finding("Discovery", f"{_STEPS[route.step]} (step {route.step} of the specification)")
        targets = ", ".join(f"{target.host} port {target.port}" for target in route.targets)
        yield Finding("Address", f"{targets}; Host: {route.host}; certificate for {route.tls_name}")
        is_reached = False
        for target in route.targets:
            async for finding in self._of_target(server, route, target):
                is_reached = is_reached or finding.is_good
                yield finding
        if is_reached:
            yield await self._keys(server)

    async def _of_target(self, server: ServerName, route: Route, target: Target) -> AsyncIterator[Finding]:
        """Of one of the places where the server should be."""
        topic = f"{target.host}:{target.port}"
        request = WireRequest(server, "GET", "/_matrix/federation/v1/version", max_bytes=MAX_BYTES)
        try:
            connection = await self._wire.connect(server, evolve(route, targets=(target,)))
            answer = await self._clock.timeout(_asked(connection, request, route), TIMEOUT_S)
        except RemoteError as error:
            yield Finding(topic, error.reason, False)
            return
        except TimeoutError:
            yield Finding(topic, f"no answer in {TIMEOUT_S:g} s", False)
            return
        yield self._certificate(topic, connection)
        yield _version(topic, answer)
        yield self._skew(topic, answer)

    def _certificate(self, topic: str, connection: ClientConnection) -> Finding:
        transport: Any = connection.transport
        certificate: x509.Certificate = transport.getPeerCertificate().to_cryptography()
        version = transport.getHandle().get_protocol_version_name()
        days = (certificate.not_valid_after_utc - self._now()).days
        text = f"{version}, certificate of {certificate.issuer.rfc4514_string()}, good for {days} more days"
        return Finding(topic, text, days >= _SOON_DAYS)

    def _skew(self, topic: str, answer: WireAnswer) -> Finding:
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        except (ValueError, TypeError, OverflowError):
            return Finding(topic, "it does not tell its time")
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
        seconds = round((theirs - self._now()).total_seconds())
        if abs(seconds) <= MAX_SKEW_S:
            return Finding(topic, "its clock agrees with ours")
        return Finding(topic, f"its clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} ours", False)

    async def _keys(self, server: ServerName) -> Finding:
        request = WireRequest(server, "GET", "/_matrix/key/v2/server", timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES)
        try:
            answer = await self._wire.send(request)
            keys = read_key_answer(canonical_json.decode(answer.body), self._clock.now_ms(), server)
        except (RemoteError, BadSignature, NotCanonical) as error:
            return Finding("Keys", str(error), False)
        return self._key_finding(keys)

    def _key_finding(self, answer: KeyAnswer) -> Finding:
        in_use = ", ".join(key_id for key_id, key in answer.keys.items() if not key.is_old)
        old = sum(1 for key in answer.keys.values() if key.is_old)
        hours = (answer.valid_until_ms - self._clock.now_ms()) // 3_600_000
        text = f"{in_use}, and {old} old" if old else in_use
        return Finding("Keys", f"{text}; valid for {hours} more hours", answer.valid_until_ms > self._clock.now_ms())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)


async def _asked(connection: ClientConnection, request: WireRequest, route: Route) -> WireAnswer:
    answering = await connection.ask(request, route.host)
    return WireAnswer(answering.status, answering.headers, await collect(answering))


def _version(topic: str, answer: WireAnswer) -> Finding:
    try:
        value = canonical_json.decode(answer.body)
        server = value["server"]
        text = f"{server['name']} {server['version']}"[:200]
    except (NotCanonical, KeyError, TypeError):
        return Finding(topic, f"its answer to /version is none: status {answer.status}", False)
    return Finding(topic, f"it is {text}", answer.status == 200)
