"""End-to-end encryption, wired."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThreadPool

from federation.inbound.devices import FederationDevicesApi
from federation.outbound.client import FederationClient
from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits
from homeserver.app.users import Users
from homeserver.client_api.dehydrated_devices import DehydratedDevicesApi
from homeserver.client_api.key_backups import KeyBackupsApi
from homeserver.client_api.keys import KeysApi
from homeserver.client_api.to_device import ToDeviceApi
from homeserver.runtime.turns import Turns
from homeserver.services.e2ee.backups import Backups
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.dehydrated import DehydratedDevices
from homeserver.services.e2ee.device_edus import DeviceEdus
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.device_news import DeviceNews
from homeserver.services.e2ee.keys import Keys
from homeserver.services.e2ee.own_devices import OwnDevices
from homeserver.services.e2ee.remote_keys import FederatedKeys
from homeserver.services.e2ee.remote_lists import RemoteLists
from homeserver.services.e2ee.remote_to_device import DirectToDevice, receive_direct
from homeserver.services.e2ee.remote_updates import RemoteUpdates
from homeserver.services.e2ee.seams import Json, ServiceKeys
from homeserver.services.e2ee.to_device import ToDevice
from homeserver.services.e2ee.user_keys import UserKeys
from homeserver.services.rooms.hosts import Hosts
from matrix.ids import ServerName

RETRY_EVERY_S = 10.0
SWEEP_EVERY_S = 24 * 3600.0


@frozen(kw_only=True)
class Encryption:
    keys: Keys
    cross_signing: CrossSigning
    device_lists: DeviceLists
    to_device: ToDevice
    backups: Backups
    own_devices: OwnDevices
    remote_updates: RemoteUpdates

    async def receive_direct(self, origin: ServerName, content: Json) -> None:
        """An m.direct_to_device EDU. Raises: MatrixError."""
        await receive_direct(self.to_device, origin, content)


def build_encryption(
    core: Core, rooms: Rooms, client: FederationClient, services: ServiceKeys, hosts: Hosts
) -> Encryption:
    storage = core.storage
    database, committer = storage.database, storage.committer
    user_keys = UserKeys(database=database, metrics=core.metrics)
    lists = RemoteLists(
        database=database,
        commit=committer,
        client=client,
        clock=core.clock,
        tasks=core.tasks,
        server_name=core.server_name,
    )
    remote = FederatedKeys(lists=lists, client=client, clock=core.clock, tasks=core.tasks)
    keys = Keys(
        database=database,
        commit=committer,
        user_keys=user_keys,
        is_local=core.is_local,
        remote=remote,
        services=services,
    )
    encryption = Encryption(
        keys=keys,
        cross_signing=CrossSigning(
            database=database,
            commit=committer,
            user_keys=user_keys,
            is_local=core.is_local,
            in_thread=_in_thread(core),
            remote=remote,
        ),
        device_lists=DeviceLists(
            database=database, stream=storage.stream, members=rooms.members, events=storage.events
        ),
        to_device=ToDevice(
            database=database,
            commit=committer,
            clock=core.clock,
            is_local=core.is_local,
            key_requests=Limits(core.clock).make(core.config.ratelimits.rc_key_requests),
            remote=DirectToDevice(),
        ),
        backups=Backups(database=database),
        own_devices=OwnDevices(
            database=database,
            keys=keys,
            is_local=core.is_local,
            with_names=core.config.federation.allow_device_name_lookup_over_federation,
        ),
        remote_updates=RemoteUpdates(
            database=database, reactor=core.reactor, commit=committer, lists=lists, clock=core.clock
        ),
    )
    for reader in (user_keys, encryption.keys):
        storage.read_by(reader.read_stream)
    _start(core, encryption.own_devices, lists, hosts)
    return encryption


def _start(core: Core, own_devices: OwnDevices, lists: RemoteLists, hosts: Hosts) -> None:
    """What goes on by itself."""
    storage = core.storage
    news = DeviceNews(
        database=storage.database,
        commit=storage.committer,
        stream=storage.stream,
        edus=DeviceEdus(
            database=storage.database,
            events=storage.events,
            devices=own_devices,
            is_local=core.is_local,
            server_name=core.server_name,
            hosts_of=hosts.in_room,
        ),
        clock=core.clock,
        is_local=core.is_local,
        server_name=core.server_name,
    )
    storage.read_by(news.read_stream)
    core.tasks.background("device_lists.news", news.run(), endless=True)
    core.tasks.repeat("remote_devices.retry", RETRY_EVERY_S, lists.retry)
    core.tasks.repeat("remote_devices.sweep", SWEEP_EVERY_S, lists.sweep)


def encryption_apis_for_servers(encryption: Encryption, turns: Turns) -> Sequence[object]:
    return [FederationDevicesApi(turns=turns, devices=encryption.own_devices)]


def encryption_apis(core: Core, encryption: Encryption, users: Users) -> Sequence[object]:
    dehydrated = DehydratedDevices(
        database=core.storage.database,
        commit=core.storage.committer,
        stream=core.storage.stream,
        keys=encryption.keys,
        delete_devices=users.devices.delete,
    )
    return [
        KeysApi(
            keys=encryption.keys,
            cross_signing=encryption.cross_signing,
            device_lists=encryption.device_lists,
            require_auth=users.ui_auth.require_password,
        ),
        ToDeviceApi(to_device=encryption.to_device),
        KeyBackupsApi(backups=encryption.backups),
        DehydratedDevicesApi(dehydrated_devices=dehydrated),
    ]


def _in_thread(core: Core) -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    return lambda function: deferToThreadPool(core.reactor, core.reactor.getThreadPool(), function)
