"""What application services are told, wired: a queue for each, read from the stream."""

from appservice.client import AppserviceClient
from appservice.delivery import Delivery, OnChange
from appservice.encryption import EncryptionNews
from appservice.loading import Loading
from appservice.making import Making
from appservice.queue_metrics import QueueCounts, QueueGauges
from appservice.reader import Reader
from appservice.registry import Registry
from appservice.room_ids import RoomIds
from appservice.sender import SHARDS, Senders
from appservice.transaction import Composer
from appservice.trimming import trim
from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.settings import shown_state
from storage.shard_locks import APPSERVICES, ShardLocks

HOUR_S = 3600.0


def build_senders(core: Core, registry: Registry, rooms: Rooms, client: AppserviceClient) -> Senders:
    """Reads the stream after the members of rooms do. Sends from `start` on."""
    storage, clock = core.storage, core.clock
    database, room_ids = storage.database, RoomIds(storage.database)
    reader = Reader(
        database=database,
        stream=storage.stream,
        registry=registry,
        room_ids=room_ids,
        members=rooms.members,
        server_name=core.server_name,
    )
    composer = Composer(
        database=database,
        loading=Loading(
            database=database, events=storage.events, clock=clock, shown_state=shown_state(core.config).keys
        ),
        room_ids=room_ids,
        encryption=EncryptionNews(database=database, members=rooms.members),
        clock=clock,
    )

    making = Making(reader=reader, composer=composer)

    def delivery(on_change: OnChange) -> Delivery:
        return Delivery(
            database=database,
            making=making,
            send=client.send_transaction,
            clock=clock,
            counts=QueueCounts(core.metrics),
            on_change=on_change,
        )

    senders = Senders(
        registry=registry,
        storage=storage,
        locks=ShardLocks(storage.dsn, reactor=core.reactor, work=APPSERVICES, count=SHARDS),
        delivery_of=delivery,
        gauges=QueueGauges(core.metrics, head=lambda: storage.stream.position, clock=clock),
        clock=clock,
        tasks=core.tasks,
    )
    storage.read_by(senders.read_stream)

    async def trim_messages() -> None:
        await trim(database, core.server_name, list(senders.queues().values()), storage.stream.position)

    core.tasks.repeat("trim.appservice_messages", HOUR_S, trim_messages)
    return senders
