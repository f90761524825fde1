"""Messages to devices of services' users are handed over in transactions, and stay for a sync that most never make.

Synapse keeps them for ever. Here they go when they are older than what the stream keeps for its slowest readers.
"""

from collections.abc import Iterable

from appservice.queue import Queue
from matrix.ids import ServerName
from storage.appservice_reading import trim_messages, users_with_devices
from storage.database import Database
from storage.stream import KEEP

BATCH = 5_000
MAX_BATCHES = 100


async def trim(database: Database, server_name: ServerName, queues: Iterable[Queue], head: int) -> None:
    """Deletes what these services were told long ago. Called every hour or so."""
    told = [queue for queue in queues if queue.registration.wants_ephemeral]
    if not told or head <= KEEP:
        return
    users = await database.read(users_with_devices, server_name)
    for queue in told:
        owned = [user_id for user_id in users if queue.registration.owns_user(user_id)]
        upto = min(queue.position, head - KEEP)
        for _ in range(MAX_BATCHES if owned else 0):
            if await database.read(trim_messages, owned, upto, BATCH) < BATCH:
                break
