"""EDUs of other servers, to those who know what to do with each kind.

Source: server-server API, "EDUs".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from twisted.internet.defer import CancelledError

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.ratelimit import RateLimit
from homeserver.runtime.together import together
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

# Of each user one after another. A server that comes to share a room with us tells of all its users there at once.
TOGETHER, AT_ONCE = frozenset({"m.device_list_update"}), 25
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
        """One after another, but for those that see to their order themselves.

        A faulty one is dropped, and no other suffers from it.
        """
        known = [edu for edu in edus if self._is_known(edu)]
        for kind, of_kind in groupby(known, lambda edu: str(edu["edu_type"])):
            contents = [edu["content"] for edu in of_kind]
            at_once = AT_ONCE if kind in TOGETHER else 1
            for start in range(0, len(contents), at_once):
                await together(self._take(origin, kind, one) for one in contents[start : start + at_once])

    def _is_known(self, edu: Any) -> bool:
        kind, content = (edu.get("edu_type"), edu.get("content")) if isinstance(edu, dict) else (None, None)
        is_kind = isinstance(kind, str) and kind in self._handlers
        return is_kind and isinstance(content, dict) and not is_deeper(content, MAX_JSON_DEPTH)

    async def _take(self, origin: ServerName, kind: str, content: Json) -> None:
        self._received.labels(kind).inc()
        try:
            await self._handlers[kind](origin, content)
        except MatrixError as error:
            self._drop(origin, kind, error)
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
