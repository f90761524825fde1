"""What a test package has made: servers, what they were made from, and the networks that give them their names."""

import asyncio
import io
import itertools
import os
import shutil
import signal
import socket
import tarfile
from collections.abc import Iterable
from pathlib import Path

from attrs import define, field, frozen

from tests.complement import BASE_IMAGE, homeserver
from tests.complement.databases import EMPTY, Databases
from tests.complement.homeserver import Place

START_S = 25.0
# Below the ports that the kernel gives to connections.
_FIRST_PORT, _LAST_PORT = 10_000, 32_000


@frozen
class Image:
    """What a server starts from: a database and a data directory, which it copies."""

    id: str
    labels: dict[str, str]
    database: str
    data: Path | None


@define(eq=False)
class Container:
    """A server: made, running, paused or stopped."""

    id: str
    name: str
    labels: dict[str, str]
    place: Place
    network: "Network"
    pid: int | None = None
    paused: bool = False

    @property
    def is_running(self) -> bool:
        if self.pid is not None and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = None
        return self.pid is not None

    @property
    def status(self) -> str:
        if not self.is_running:
            return "exited"
        return "paused" if self.paused else "running"

    def log(self) -> bytes:
        return self.place.log.read_bytes() if self.place.log.exists() else b""

    async def start(self) -> None:
        """Comes back when it listens, or has ended."""
        if self.is_running:
            return
        self.pid, self.paused = homeserver.start(self.place), False
        # Where it ends at once, Complement finds that out, and prints its log.
        async with asyncio.timeout(START_S):
            while self.is_running and not await _listens(self.place.address):  # noqa: ASYNC110  another process
                await asyncio.sleep(0.005)

    async def stop(self, patience_s: float) -> None:
        """As an operator would, and by force if it takes longer."""
        self.pause(False)
        self._signal(signal.SIGTERM)
        for _ in range(int(patience_s * 200)):
            if not self.is_running:
                return
            await asyncio.sleep(0.005)
        await self.kill()

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        while self.is_running:  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    def pause(self, paused: bool) -> None:
        self._signal(signal.SIGSTOP if paused else signal.SIGCONT)
        self.paused = paused

    def put(self, archive: bytes) -> None:
        """Unpacks a tar file at the root of its file system, which is its directory."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files.getmembers():
                member.name = member.name.lstrip("/")
                files.extract(member, self.place.directory, filter="data")

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running and self.pid is not None:
            os.kill(self.pid, number)


@define
class Network:
    """Servers that know each other by name, by a hosts file that all of them read."""

    id: str
    name: str
    labels: dict[str, str]
    hosts: Path
    servers: list[Container] = field(factory=list)
    # Where Complement's own servers are.
    fixed: dict[str, str] = field(factory=dict)

    def write_hosts(self) -> None:
        names = {name: address for name, address in self.fixed.items()}
        # A server that runs has the name before one that was left behind.
        for server in sorted(self.servers, key=lambda server: server.is_running):
            names[server.place.server_name] = server.place.address
        partial = self.hosts.with_suffix(".new")
        partial.write_text("".join(f"{address} {name}\n" for name, address in names.items()))
        partial.replace(self.hosts)


class Containers:
    """All that one Complement process sees. Several of these share the databases and nothing else."""

    def __init__(self, directory: Path, databases: Databases, number: int) -> None:
        self.images: dict[str, Image] = {BASE_IMAGE: Image(BASE_IMAGE, {}, EMPTY, None)}
        self.networks: dict[str, Network] = {}
        self.by_id: dict[str, Container] = {}
        self._directory = directory
        self._databases = databases
        self._prefix = f"127.{16 + os.getpid() % 200}.{number}"
        self._ids = itertools.count(1)
        self._addresses = itertools.cycle(range(1, 255))

    def create(
        self, *, name: str, server_name: str, image: Image, labels: dict[str, str], network: Network
    ) -> Container:
        number = self._new_id("c")
        directory = self._directory / number
        directory.mkdir(parents=True)
        if image.data is not None:
            shutil.copytree(image.data, directory / "data")
        address = self._free_address()
        client_port, federation_port = _free_ports(2)
        place = Place(
            server_name=server_name,
            directory=directory,
            address=address,
            client_port=client_port,
            federation_port=federation_port,
            database=self._databases.args(self._databases.copy(image.database)),
            hosts=network.hosts,
        )
        container = Container(number, name, {**image.labels, **labels}, place, network)
        self.by_id[number] = container
        network.servers.append(container)
        return container

    async def commit(self, container: Container, labels: dict[str, str]) -> Image:
        """An image of a container, which must have been stopped."""
        await container.stop(10)
        number = self._new_id("i")
        data = self._directory / number
        shutil.copytree(container.place.directory / "data", data)
        database = self._databases.copy(container.place.database["database"])
        self.images[number] = Image(number, {**container.labels, **labels}, database, data)
        return self.images[number]

    async def remove(self, container: Container) -> None:
        await container.kill()
        del self.by_id[container.id]
        container.network.servers.remove(container)
        container.network.write_hosts()
        self._databases.drop(container.place.database["database"])
        shutil.rmtree(container.place.directory, ignore_errors=True)

    def remove_image(self, image: Image) -> None:
        del self.images[image.id]
        self._databases.drop(image.database)
        if image.data is not None:
            shutil.rmtree(image.data, ignore_errors=True)

    def add_network(self, name: str, labels: dict[str, str], fixed: dict[str, str]) -> Network:
        number = self._new_id("n")
        network = Network(number, name, labels, self._directory / f"{number}.hosts", fixed=fixed)
        network.write_hosts()
        self.networks[name] = network
        return network

    def find(self, container: str) -> Container | None:
        return self.by_id.get(container)

    def with_labels(self, wanted: Iterable[str]) -> list[Container]:
        return [container for container in self.by_id.values() if has_labels(container.labels, wanted)]

    async def close(self) -> None:
        for container in list(self.by_id.values()):
            await container.kill()

    def _new_id(self, kind: str) -> str:
        return f"{kind}{next(self._ids):05d}"

    def _free_address(self) -> str:
        for last in itertools.islice(self._addresses, 254):
            address = f"{self._prefix}.{last}"
            if _is_free(address, 8448):
                return address
        raise OSError(f"all addresses of {self._prefix}.0/24 are taken")


def has_labels(labels: dict[str, str], wanted: Iterable[str]) -> bool:
    """Whether the labels have all that Docker's filter wants, each `key` or `key=value`."""
    for word in wanted:
        key, equals, value = word.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


_ports = itertools.cycle(range(_FIRST_PORT + os.getpid() % 1000 * 20, _LAST_PORT))


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        if _is_free("127.0.0.1", port):
            found.append(port)
    return found


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


async def _listens(address: str) -> bool:
    """The last of its listeners to open is asked: then all are."""
    try:
        _, writer = await asyncio.open_connection(address, 8448)
    except OSError:
        return False
    writer.close()
    return True
