"""EDUs of other servers, to those who know what to do with each kind.

Source: server-server API, "EDUs".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.body import MAX_JSON_DEPTH, is_deeper
from matrix.errors import LimitExceeded, MatrixError
from matrix.events import Json
from matrix.ids import ServerName
from storage.commit import CommitterStopped
from storage.database import CommitUnknown, DatabaseDown

logger = logging.getLogger(__name__)

# What another server sends is to be sent again when this is over.
NOT_ITS_FAULT = (DatabaseDown, CommitUnknown, CommitterStopped)
# Called with the server that sent it and the EDU's content.
Handler = Callable[[ServerName, Json], Awaitable[object]]

# What is wrong with EDUs is written down so often.
_LOG_PER_S, _LOG_BURST = 1.0, 10.0


class Edus:
    """`handlers` by `edu_type`; kinds that nobody knows are passed over."""

    def __init__(self, *, handlers: Mapping[str, Handler], clock: Clock, metrics: Metrics) -> None:
        self._handlers = handlers
        self._logged = RateLimit(_LOG_PER_S, _LOG_BURST, clock)
        self._received = metrics.counter("federation_received_edus", "EDUs of other servers", ["type"])
        self._dropped = metrics.counter("federation_dropped_edus", "EDUs that were faulty", ["type"])

    async def receive(self, origin: ServerName, edus: Sequence[Any]) -> None:
        """One after another. A faulty one is dropped, and no other suffers from it."""
        for edu in edus:
            kind, content = (edu.get("edu_type"), edu.get("content")) if isinstance(edu, dict) else (None, None)
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            if handler is None or not isinstance(content, dict) or is_deeper(content, MAX_JSON_DEPTH):
                continue
            self._received.labels(kind).inc()
            try:
                await handler(origin, content)
            except MatrixError as error:
                self._drop(origin, str(kind), error)
            except (*NOT_ITS_FAULT, CancelledError):
                raise
            except Exception:
                # Else the server would send it again and again, and nothing after it.
                logger.exception("An %s of %s could not be taken in", kind, origin)

    def _drop(self, origin: ServerName, kind: str, error: MatrixError) -> None:
        self._dropped.labels(kind).inc()
        try:
            self._logged.take(origin)
        except LimitExceeded:
            return
        logger.info("An %s of %s was dropped: %s", kind, origin, error)
