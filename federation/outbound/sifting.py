"""What of a transaction a server will not have, so that all the rest arrives.

Most servers say of each event what they think of it. One that stumbles over an event, an EDU or the size of a body
refuses the whole transaction, each time again, and everything behind it would wait for ever. A transaction that was
refused several times is therefore sent in halves, and these in halves, until what is refused stands alone and is left
out: events are named by those that follow, so that the server can ask for them.

A server that refuses everything is spared this, and loses nothing: it is tried again when its pause is over.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from federation.outbound.edus import Json
from federation.outbound.errors import Refused
from homeserver.runtime.metrics import Metrics
from matrix.ids import ServerName
from storage.events import StoredEvent

logger = logging.getLogger(__name__)

# Refused so often with pauses between: a server that is being mended is not meant.
PATIENCE = 2
# What a server refuses alone, and takes nothing else meanwhile by which it could be seen that it takes anything: hours.
LONG_PATIENCE = 8
# What speaks of the content. Others (401, 403, 404, 429) speak of us, of the server, or of its load.
_OF_CONTENT = frozenset({400, 413, 422, 500})

Piece = tuple[Sequence[StoredEvent], Sequence[Json]]


class Send(Protocol):
    """As transmission.py has it."""

    async def __call__(
        self, destination: ServerName, events: Sequence[StoredEvent], edus: Sequence[Json], /
    ) -> None: ...


class Sifting:
    def __init__(self, *, send: Send, metrics: Metrics) -> None:
        self._send = send
        self._left_out = metrics.counter("federation_left_out", "Events and EDUs that a server refuses each time")

    async def __call__(
        self, destination: ServerName, events: Sequence[StoredEvent], edus: Sequence[Json], failures: int
    ) -> None:
        """Comes back when the server has all of it but what it never will. `failures`: so often it has refused.

        Raises: RemoteError.
        """
        try:
            await self._send(destination, events, edus)
        except Refused as error:
            if error.status not in _OF_CONTENT or failures < PATIENCE:
                raise
            await self._in_halves(destination, (events, edus), error, failures)

    async def _in_halves(self, destination: ServerName, whole: Piece, error: Refused, failures: int) -> None:
        # If it refuses even nothing it is not the content.
        await self._send(destination, (), ())
        refused: list[Piece] = []
        pieces, are_any_taken = _halves(whole) or [whole], False
        while pieces:
            piece = pieces.pop()
            try:
                await self._send(destination, *piece)
                are_any_taken = True
            except Refused as again:
                if again.status not in _OF_CONTENT:
                    raise
                halves = _halves(piece)
                pieces += halves
                if not halves:
                    refused.append(piece)
        if refused and not are_any_taken and failures < LONG_PATIENCE:
            raise error
        for events, edus in refused:
            self._left_out.inc()
            what = events[0].event_id if events else f"an EDU {edus[0].get('edu_type')}"
            logger.warning("%s is left out for %s, which refuses it each time: %s", what, destination, error.reason)


def _halves(piece: Piece) -> list[Piece]:
    """The second before the first, as a stack has them; none of what stands alone."""
    events, edus = piece
    if events and edus:
        return [((), edus), (events, ())]
    half = max(len(events), len(edus)) // 2
    if not half:
        return []
    return [(events[half:], edus[half:]), (events[:half], edus[:half])]
