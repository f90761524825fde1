"""The parts of Docker's Engine API that Complement calls, over processes in place of containers.

    python -m tests.complement.engine DIRECTORY COUNT

listens on DIRECTORY/0.sock, 1.sock ...: each an engine of its own, for one Complement process. Ends, and all that it
started with it, when its standard input ends.
Source: Docker Engine API v1.47, as used by `internal/docker` of github.com/matrix-org/complement.
"""

import asyncio
import json
import re
import struct
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.complement import homeserver
from tests.complement.containers import Container, Containers, Image, Network, has_labels
from tests.complement.databases import Databases
from tests.complement.http import Reply, Request, serve

API_VERSION = "1.47"
_LABEL = re.compile(r'LABEL "(.*?)"="(.*)"', re.DOTALL)
_STDOUT = 1


class Engine:
    """Answers one Complement process."""

    def __init__(self, containers: Containers) -> None:
        self._all = containers
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Awaitable[Reply]]]] = [
            (method, re.compile(rf"(?:/v[0-9.]+)?{path}"), answer)
            for method, path, answer in (
                ("(GET|HEAD)", "/_ping", self._ping),
                ("GET", "/containers/json", self._list),
                ("POST", "/containers/create", self._create),
                ("PUT", "/containers/([^/]+)/archive", self._copy_in),
                ("POST", "/containers/([^/]+)/(start|stop|kill|pause|unpause)", self._act),
                ("GET", "/containers/([^/]+)/json", self._inspect),
                ("GET", "/containers/([^/]+)/logs", self._logs),
                ("DELETE", "/containers/([^/]+)", self._remove),
                ("POST", "/commit", self._commit),
                ("GET", "/images/json", self._images),
                ("DELETE", "/images/(.+)", self._remove_image),
                ("GET", "/networks", self._networks),
                ("POST", "/networks/create", self._create_network),
                ("DELETE", "/networks/([^/]+)", self._remove_network),
            )
        ]

    async def answer(self, request: Request) -> Reply:
        for method, pattern, answer in self._routes:
            match = pattern.fullmatch(request.path)
            if match and re.fullmatch(method, request.method):
                try:
                    return await answer(request, *match.groups())
                except KeyError as error:
                    return Reply(404, {"message": f"no such thing: {error}"})
                except Exception as error:  # noqa: BLE001  Complement prints it and goes on
                    traceback.print_exc()
                    return Reply(500, {"message": repr(error)})
        return Reply(501, {"message": f"{request.method} {request.path} is not among the parts that Complement needs"})

    async def _ping(self, request: Request) -> Reply:
        return Reply(200, b"OK", {"Api-Version": API_VERSION, "OSType": "linux"})

    async def _list(self, request: Request) -> Reply:
        found = self._all.with_labels(_wanted_labels(request))
        return Reply(200, [{"Id": it.id, "Names": [f"/{it.name}"], "Labels": it.labels} for it in found])

    async def _create(self, request: Request) -> Reply:
        wish = request.json
        environment = dict(line.split("=", 1) for line in wish["Env"])
        network = self._all.networks[next(iter(wish["NetworkingConfig"]["EndpointsConfig"]))]
        network.fixed |= {line.split(":")[0].lower(): "127.0.0.1" for line in wish["HostConfig"]["ExtraHosts"] or []}
        container = self._all.create(
            name=request.query["name"],
            server_name=environment["SERVER_NAME"],
            image=self._all.images[wish["Image"].removeprefix("sha256:")],
            labels=wish["Labels"],
            network=network,
        )
        return Reply(201, {"Id": container.id, "Warnings": []})

    async def _copy_in(self, request: Request, name: str) -> Reply:
        self._all.by_id[name].put(request.body)
        return Reply()

    async def _act(self, request: Request, name: str, act: str) -> Reply:
        container = self._all.by_id[name]
        if act == "start":
            await container.start()
        elif act == "stop":
            await container.stop(float(request.query.get("t", 10)))
        elif act == "kill":
            await container.kill()
        else:
            container.pause(act == "pause")
        container.network.write_hosts()
        return Reply(204)

    async def _inspect(self, request: Request, name: str) -> Reply:
        return Reply(200, _described(self._all.by_id[name]))

    async def _logs(self, request: Request, name: str) -> Reply:
        log = self._all.by_id[name].log()
        return Reply(200, struct.pack(">BxxxL", _STDOUT, len(log)) + log)

    async def _remove(self, request: Request, name: str) -> Reply:
        await self._all.remove(self._all.by_id[name])
        return Reply(204)

    async def _commit(self, request: Request) -> Reply:
        matches = [_LABEL.fullmatch(value) for name, value in request.pairs if name == "changes"]
        labels = {match[1]: match[2] for match in matches if match}
        image = await self._all.commit(self._all.by_id[request.query["container"]], labels)
        return Reply(201, {"Id": f"sha256:{image.id}"})

    async def _images(self, request: Request) -> Reply:
        wanted = _wanted_labels(request)
        return Reply(200, [_listed(image) for image in self._all.images.values() if has_labels(image.labels, wanted)])

    async def _remove_image(self, request: Request, name: str) -> Reply:
        self._all.remove_image(self._all.images[name.removeprefix("sha256:")])
        return Reply(200, [{"Deleted": name}])

    async def _networks(self, request: Request) -> Reply:
        wanted = _wanted_labels(request)
        found = [network for network in self._all.networks.values() if has_labels(network.labels, wanted)]
        return Reply(200, [{"Id": it.id, "Name": it.name, "Labels": it.labels} for it in found])

    async def _create_network(self, request: Request) -> Reply:
        network = self._all.add_network(request.json["Name"], request.json["Labels"], {})
        return Reply(201, {"Id": network.id, "Warning": ""})

    async def _remove_network(self, request: Request, name: str) -> Reply:
        del self._all.networks[self._network(name).name]
        return Reply(204)

    def _network(self, number: str) -> Network:
        return {network.id: network for network in self._all.networks.values()}[number]


def _wanted_labels(request: Request) -> list[str]:
    return list(json.loads(request.query.get("filters", "{}")).get("label", {}))


def _described(container: Container) -> dict[str, Any]:
    ports = {8008: container.place.client_port, 8448: container.place.federation_port}
    bound = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(host_port)}] for port, host_port in ports.items()}
    return {
        "Id": container.id,
        "Name": f"/{container.name}",
        "State": {"Running": container.is_running, "Status": container.status},
        "Config": {"Labels": container.labels, "Volumes": {}},
        "NetworkSettings": {"Ports": bound},
    }


def _listed(image: Image) -> dict[str, Any]:
    return {"Id": f"sha256:{image.id}", "RepoTags": [f"localhost/complement:{image.id}"], "Labels": image.labels}


async def run(directory: Path, count: int) -> None:
    databases = Databases(directory / "postgres" / "data")
    homeserver.warm_up()
    every = [Containers(directory / str(number), databases, number) for number in range(count)]
    for number, containers in enumerate(every):
        (directory / str(number)).mkdir()
        await serve(directory / f"{number}.sock", Engine(containers).answer)
    print("ready", flush=True)
    try:
        await _end_of_input()
    finally:
        for containers in every:
            await containers.close()
        databases.stop()


async def _end_of_input() -> None:
    """Without a thread: what is forked must have been one thread's."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
