"""One transaction: PDUs and EDUs to one server, and what it says of them.

Source: server-server API, "Transactions".
"""

import itertools
import logging
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from federation.outbound.edus import Json
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.ratelimit import RateLimit
from matrix import canonical_json
from matrix.errors import LimitExceeded
from matrix.ids import ServerName
from storage.events import StoredEvent

logger = logging.getLogger(__name__)

# Of what other servers say of single events so much is written down.
_LOG_PER_S, _LOG_BURST = 1.0, 10.0


class SendTransaction(Protocol):
    """As FederationClient has it."""

    def __call__(self, server: ServerName, transaction_id: str, body: bytes) -> Awaitable[Json]: ...


class Transmission:
    def __init__(self, *, send: SendTransaction, server_name: ServerName, clock: Clock, metrics: Metrics) -> None:
        self._send = send
        self._server_name = server_name
        self._clock = clock
        # Unique for a destination also over restarts: a transaction is never repeated under the id of another.
        self._ids = (f"{secrets.token_hex(6)}{number}" for number in itertools.count())
        self._logged = RateLimit(_LOG_PER_S, _LOG_BURST, clock)
        self._events = metrics.counter("federation_sent_pdus", "PDUs that other servers have acknowledged")
        self._edus = metrics.counter("federation_sent_edus", "EDUs that other servers have acknowledged")
        self._refused = metrics.counter("federation_refused_pdus", "PDUs that another server would not have")
        self._failed = metrics.counter("federation_failed_transactions", "Transactions that were not acknowledged")
        self._seconds = metrics.histogram("federation_transaction_seconds", "How long other servers take for them")

    async def __call__(self, destination: ServerName, events: Sequence[StoredEvent], edus: Sequence[Json]) -> None:
        """Comes back when the server has acknowledged it. Raises: RemoteError."""
        body = self._encoded(events, edus)
        started_s = self._clock.seconds()
        try:
            answer = await self._send(destination, next(self._ids), body)
        except BaseException:
            self._failed.inc()
            raise
        self._seconds.observe(self._clock.seconds() - started_s)
        self._events.inc(len(events))
        self._edus.inc(len(edus))
        self._look_at(destination, answer.get("pdus", {}))

    def _encoded(self, events: Sequence[StoredEvent], edus: Sequence[Json]) -> bytes:
        """The canonical JSON of the transaction. Each event was written once, for all who get it."""
        rest = canonical_json.encode({"origin": str(self._server_name), "origin_server_ts": self._clock.now_ms()})
        of_edus = b'"edus":' + canonical_json.encode(list(edus)) + b"," if edus else b""
        pdus = b",".join([stored.event.canonical for stored in events])
        return b"{" + of_edus + rest[1:-1] + b',"pdus":[' + pdus + b"]}"

    def _look_at(self, destination: ServerName, results: dict[str, Any]) -> None:
        """What a server will not have it will not have the next time either."""
        errors = {name: one["error"] for name, one in results.items() if isinstance(one, dict) and one.get("error")}
        if not errors:
            return
        self._refused.inc(len(errors))
        event_id, error = next(iter(errors.items()))
        try:
            self._logged.take("refused")
        except LimitExceeded:
            return
        logger.info("%s refuses %d events, %.100s: %.200s", destination, len(errors), event_id, error)
