"""What goes to other servers by itself, and what comes from them so: transactions both ways, wired."""

from collections.abc import Sequence

from attrs import frozen

from federation.inbound.transactions import Door, Pdus, Transactions, TransactionsApi
from federation.outbound.catch_up import CatchUp
from federation.outbound.fan_out import FanOut
from federation.outbound.outbox import Outbox
from federation.outbound.queue_status import watch
from federation.outbound.sender import SHARDS, Sender
from federation.outbound.sifting import Sifting
from federation.outbound.transmission import Transmission
from homeserver.app.core import Core
from homeserver.app.e2ee import Encryption
from homeserver.app.federation import Federation
from homeserver.app.rooms import Rooms
from homeserver.runtime.turns import Turns
from homeserver.services.remote_news.edus import Edus, Handler
from homeserver.services.remote_news.presence import RemotePresence
from homeserver.services.remote_news.receipts import RemoteReceipts
from homeserver.services.remote_news.rooms import ToldRooms
from homeserver.services.remote_news.typing import RemoteTyping
from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.hosts import Hosts
from storage.loader import Loader
from storage.room_servers import find_servers
from storage.shard_locks import FEDERATION_SENDER, ShardLocks

SILENT_EVERY_S = 60.0


@frozen(kw_only=True)
class Sending:
    hosts: Hosts
    outbox: Outbox
    sender: Sender


def build_hosts(core: Core, rooms: Rooms) -> Hosts:
    storage = core.storage
    hosts = Hosts(
        database=storage.database,
        stream=storage.stream,
        members=rooms.members,
        loader=Loader(find_servers, database=storage.database, reactor=core.reactor),
    )
    storage.read_by(hosts.read_stream)
    return hosts


def build_sending(core: Core, federation: Federation, hosts: Hosts) -> Sending:
    """Reads the stream after `hosts`."""
    storage, clock = core.storage, core.clock
    outbox = Outbox(
        database=storage.database,
        catch_up=CatchUp(database=storage.database, events=storage.events, ours=[core.server_name]),
        transmission=Sifting(
            send=Transmission(
                send=federation.client.send_transaction, server_name=core.server_name, clock=clock, metrics=core.metrics
            ),
            metrics=core.metrics,
        ),
        destinations=federation.destinations,
        clock=clock,
        tasks=core.tasks,
    )
    sender = Sender(
        storage=storage,
        locks=ShardLocks(storage.dsn, reactor=core.reactor, work=FEDERATION_SENDER, count=SHARDS),
        fan_out=FanOut(
            hosts=hosts,
            database=storage.database,
            events=storage.events,
            clock=clock,
            server_name=core.server_name,
            tells_presence=core.config.server.presence.is_tracked,
        ),
        outbox=outbox,
        tasks=core.tasks,
        is_local=core.is_local,
    )
    storage.read_by(sender.read_stream)
    sender.start()
    watch(outbox, core.metrics, lambda: storage.stream.position)
    return Sending(hosts=hosts, outbox=outbox, sender=sender)


def transaction_apis(
    core: Core,
    rooms: Rooms,
    encryption: Encryption,
    *,
    hosts: Hosts,
    acls: ServerAcls,
    turns: Turns,
    door: Door,
) -> Sequence[object]:
    """PUT /send. By the door events come in."""
    storage = core.storage
    handlers = _handlers(core, rooms, encryption, hosts, acls)
    transactions = Transactions(
        storage=storage,
        clock=core.clock,
        reactor=core.reactor,
        pdus=Pdus(heads=rooms.heads, acls=acls, door=door, metrics=core.metrics),
        edus=Edus(handlers=handlers, clock=core.clock, metrics=core.metrics),
    )
    return [TransactionsApi(turns=turns, transactions=transactions)]


def _handlers(core: Core, rooms: Rooms, encryption: Encryption, hosts: Hosts, acls: ServerAcls) -> dict[str, Handler]:
    """Who takes in which kind of EDU."""
    storage = core.storage
    told_rooms = ToldRooms(
        heads=rooms.heads,
        partial=rooms.partial,
        hosts_of=hosts.in_room,
        acls=acls,
        database=storage.database,
        server_name=core.server_name,
    )
    presence = RemotePresence(
        database=storage.database,
        committer=storage.committer,
        clock=core.clock,
        enabled=core.config.server.presence.is_tracked,
    )
    core.tasks.repeat("presence.silent", SILENT_EVERY_S, presence.forget_silent)
    receipts = RemoteReceipts(
        rooms=told_rooms, events=storage.events, database=storage.database, committer=storage.committer
    )
    updates = encryption.remote_updates
    return {
        "m.typing": RemoteTyping(rooms=told_rooms, typing=rooms.typing).receive,
        "m.receipt": receipts.receive,
        "m.presence": presence.receive,
        "m.direct_to_device": encryption.receive_direct,
        "m.device_list_update": updates.device_list_update,
        "m.signing_key_update": updates.signing_key_update,
        "org.matrix.signing_key_update": updates.signing_key_update,
    }
