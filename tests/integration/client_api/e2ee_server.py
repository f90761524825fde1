"""The end-to-end encryption endpoints over a real database, with users and devices that are simply there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg2
from attrs import define
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from homeserver.client_api.dehydrated_devices import DehydratedDevicesApi
from homeserver.client_api.key_backups import KeyBackupsApi
from homeserver.client_api.keys import KeysApi
from homeserver.client_api.to_device import ToDeviceApi
from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.backups import Backups
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.dehydrated import DehydratedDevices
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.keys import Keys
from homeserver.services.e2ee.to_device import ToDevice
from homeserver.services.e2ee.user_keys import UserKeys
from homeserver.services.rooms.members import Members
from homeserver.web.call import Call, Requester
from homeserver.web.router import Access, Router
from matrix.errors import MatrixError
from matrix.ids import DeviceId, ServerName, UserId
from storage import device_keys
from storage import devices as device_rows
from storage.change import Change
from storage.opened import Storage, open_storage
from tests.support.http import MemoryClient, Response

ALICE, BOB, CAROL = "@alice:a", "@bob:a", "@carol:a"


@define
class Device:
    """A client of one device. Paths are below /_matrix/client/v3."""

    client: MemoryClient
    user_id: str
    device_id: str

    async def ask(self, method: str, path: str, json: Any = None, prefix: str = "/_matrix/client/v3") -> Response:
        token = f"{self.user_id} {self.device_id}"
        path = quote(path, safe="/?=&:@!$%+")
        response: Response = await self.client.request(method, prefix + path, json=json, token=token)
        return response

    async def ok(self, method: str, path: str, json: Any = None) -> Any:
        response = await self.ask(method, path, json)
        assert response.status == 200, response.body
        return response.json

    async def upload(self, **keys: Any) -> Any:
        return await self.ok("POST", "/keys/upload", keys)

    async def query(self, *user_ids: str) -> Any:
        return await self.ok("POST", "/keys/query", {"device_keys": {user_id: [] for user_id in user_ids}})

    async def claim(self, user_id: str, device_id: str) -> Any:
        """The key claimed, by its id; None if there is none."""
        wanted = {"one_time_keys": {user_id: {device_id: "signed_curve25519"}}}
        claimed = (await self.ok("POST", "/keys/claim", wanted))["one_time_keys"]
        return claimed.get(user_id, {}).get(device_id)


@define
class E2eeServer:
    storage: Storage
    router: Router
    keys: Keys
    device_lists: DeviceLists
    # Who must authenticate again has done so.
    confirmed: bool = False
    # How often something was computed on a thread.
    in_thread: int = 0

    def device(self, user_id: str, device_id: str, name: str | None = None) -> Device:
        self.sql("INSERT INTO devices VALUES (%s, %s, %s, 0)", user_id, device_id, name)
        return Device(MemoryClient(self.router, reactor=reactor), user_id, device_id)

    async def delete(self, device: Device) -> None:
        await _delete_devices(self.storage, device.user_id, [device.device_id])

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.storage.dsn)
        connection.autocommit = True
        try:
            cur = connection.cursor()
            cur.execute(statement, values)
            return cur.fetchall() if cur.description else []
        finally:
            connection.close()

    def member(self, room_nid: int, user_id: str, membership: str = "join", position: int = 0) -> None:
        """The user's membership, as it was before anybody asked."""
        self.sql("INSERT INTO memberships VALUES (%s, %s, %s, 0, %s)", room_nid, user_id, membership, position)

    def token(self) -> str:
        return f"s{self.storage.stream.position}"


async def _delete_devices(storage: Storage, user_id: str, device_ids: Sequence[str]) -> None:
    change = Change()
    for device_id in device_ids:
        change.put(device_rows.DELETE, (user_id, device_id))
    device_keys.rows_for_deleted_devices(change, user_id, device_ids)
    await storage.committer(change)


@contextmanager
def e2ee_server(dsn: str) -> Iterator[E2eeServer]:
    storage = open_storage(dsn, reactor=reactor, threads=2)
    try:
        yield _wired(storage)
    finally:
        storage.close()


def _wired(storage: Storage) -> E2eeServer:
    database, commit = storage.database, storage.committer
    user_keys = UserKeys(database=database)
    keys = Keys(database=database, commit=commit, user_keys=user_keys, is_local=_is_local)

    async def in_thread(function: Callable[[], Any]) -> Any:
        server.in_thread += 1
        return await deferToThread(function)

    async def require_auth(call: Call) -> None:
        if not server.confirmed:
            raise MatrixError(401, "M_UNAUTHORIZED", "Authenticate")

    cross_signing = CrossSigning(
        database=database, commit=commit, user_keys=user_keys, is_local=_is_local, in_thread=in_thread
    )

    members = Members(database=database, stream=storage.stream)
    device_lists = DeviceLists(database=database, stream=storage.stream, members=members, events=storage.events)
    to_device = ToDevice(database=database, commit=commit, clock=Clock(reactor), is_local=_is_local)
    storage.read_by(members.read_stream)
    storage.read_by(user_keys.read_stream)
    storage.read_by(keys.read_stream)
    router = Router(authenticate=_authenticate)
    router.add(KeysApi(keys=keys, cross_signing=cross_signing, device_lists=device_lists, require_auth=require_auth))
    router.add(ToDeviceApi(to_device=to_device))
    router.add(KeyBackupsApi(backups=Backups(database=database)))
    dehydrated_devices = DehydratedDevices(
        database=database,
        commit=commit,
        stream=storage.stream,
        keys=keys,
        delete_devices=lambda user_id, device_ids: _delete_devices(storage, user_id, device_ids),
    )
    router.add(DehydratedDevicesApi(dehydrated_devices=dehydrated_devices))
    server = E2eeServer(storage, router, keys, device_lists)
    return server


async def _authenticate(call: Call, access: Access) -> None:
    user_id, _, device_id = (call.access_token() or "").partition(" ")
    call.requester = Requester(UserId(user_id), DeviceId(device_id) if device_id else None)


def _is_local(server_name: ServerName) -> bool:
    return server_name == "a"
