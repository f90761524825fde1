"""What an operator sees of the queues: metrics, and a list for `hearth federation status`."""

from collections.abc import Callable

from attrs import frozen

from federation.outbound.outbox import Outbox
from homeserver.runtime.metrics import Metrics
from matrix.ids import ServerName
from storage.database import Database
from storage.federation_queue import find_waiting
from storage.stream import head_position


def watch(outbox: Outbox, metrics: Metrics, position: Callable[[], int]) -> None:
    """Metrics that cost nothing until somebody scrapes. `position` is the stream's."""
    queues, behind = outbox.queues_now, outbox.behind_now
    metrics.gauge_of("federation_queues", "Servers to which something is under way", lambda: len(queues()))
    metrics.gauge_of(
        "federation_queued_pdus", "PDUs that wait", lambda: sum(len(queue.events) for queue in queues().values())
    )
    metrics.gauge_of(
        "federation_queued_edus", "EDUs that wait", lambda: sum(len(queue.edus) for queue in queues().values())
    )
    metrics.gauge_of("federation_behind", "Servers that have not been told everything", lambda: len(behind()))
    metrics.gauge_of(
        "federation_unread_positions",
        "Positions of the stream that have not been put into queues yet",
        lambda: position() - outbox.seen,
    )
    metrics.gauge_of(
        "federation_unacknowledged_positions",
        "How far the oldest PDU that a living server has not acknowledged lies behind the stream",
        lambda: position() - outbox.lowest(),
    )


@frozen
class DestinationStatus:
    """A server that has not been told everything. `positions`: how far behind the head of the stream."""

    destination: ServerName
    positions: int
    waiting_edus: int
    failing_since_ms: int | None
    retry_at_ms: int | None


async def waiting_destinations(database: Database, limit: int = 1_000) -> list[DestinationStatus]:
    """Those who are behind, the longest first, as all processes have written it down."""
    head = await database.read(head_position)
    rows = await database.read(find_waiting, limit)
    return [
        DestinationStatus(row.destination, head - row.position, row.edus, row.failing_since_ms, row.retry_at_ms)
        for row in rows
    ]
