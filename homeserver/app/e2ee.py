"""End-to-end encryption, wired."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThreadPool

from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits
from homeserver.app.users import Users
from homeserver.client_api.dehydrated_devices import DehydratedDevicesApi
from homeserver.client_api.key_backups import KeyBackupsApi
from homeserver.client_api.keys import KeysApi
from homeserver.client_api.to_device import ToDeviceApi
from homeserver.services.e2ee.backups import Backups
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.dehydrated import DehydratedDevices
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.keys import Keys
from homeserver.services.e2ee.to_device import ToDevice
from homeserver.services.e2ee.user_keys import UserKeys


@frozen(kw_only=True)
class Encryption:
    keys: Keys
    cross_signing: CrossSigning
    device_lists: DeviceLists
    to_device: ToDevice
    backups: Backups


def build_encryption(core: Core, rooms: Rooms) -> Encryption:
    storage = core.storage
    database, committer = storage.database, storage.committer
    user_keys = UserKeys(database=database, metrics=core.metrics)
    encryption = Encryption(
        keys=Keys(database=database, commit=committer, user_keys=user_keys, is_local=core.is_local),
        cross_signing=CrossSigning(
            database=database,
            commit=committer,
            user_keys=user_keys,
            is_local=core.is_local,
            in_thread=_in_thread(core),
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
        ),
        backups=Backups(database=database),
    )
    for reader in (user_keys, encryption.keys):
        storage.read_by(reader.read_stream)
    return encryption


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
