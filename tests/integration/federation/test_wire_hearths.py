"""Two whole Hearths on TLS sockets of this machine: one by its address, one by a name, with an authority of ours."""

from collections.abc import Iterator
from pathlib import Path

import psycopg2.extensions
import pytest
import pytest_twisted
import yaml
from twisted.internet import reactor

from federation.outbound.errors import Refused, Unreachable
from federation.outbound.wire import WireRequest
from homeserver.app import Server, build
from matrix.ids import ServerName, UserId
from synapse_like_config import Config
from synapse_like_config.signing_key_rotation import prepare_rotation
from tests.integration.federation.tls_servers import Authority
from tests.support.database import TestServer
from tests.support.ports import free_port


class World:
    def __init__(self, postgres: TestServer, directory: Path) -> None:
        self.authority = Authority(directory)
        self._postgres = postgres
        self._directory = directory
        self._running: list[tuple[Server, str]] = []

    async def start(self, host: str, resources: str = "federation", **more: object) -> Server:
        """A Hearth that listens on 127.0.0.1, with a certificate for `host`."""
        port, dsn = free_port("127.0.0.1"), self._postgres.fresh()
        certificate, key = self.authority.issue(host)
        directory = self._directory / str(port)
        directory.mkdir()
        config = {
            "server_name": f"{host}:{port}",
            "database": {"name": "psycopg2", "args": psycopg2.extensions.parse_dsn(dsn)},
            "listeners": [
                {"port": port, "bind_addresses": ["127.0.0.1"], "tls": True, "resources": [{"names": [resources]}]}
            ],
            "tls_certificate_path": str(certificate),
            "tls_private_key_path": str(key),
            "federation_custom_ca_list": [str(self.authority.path)],
            "ip_range_whitelist": ["127.0.0.0/8", "::1"],
            "trusted_key_servers": [],
            **more,
        }
        (directory / "homeserver.yaml").write_text(yaml.safe_dump(config))
        server = await build(
            Config.load([directory / "homeserver.yaml"], environ={}, data_directory=directory / "data"), reactor
        )
        await server.start()
        self._running.append((server, dsn))
        return server

    async def restart(self, server: Server) -> Server:
        """The same server again, as an operator restarts it."""
        ((at, dsn),) = [(at, dsn) for at, (each, dsn) in enumerate(self._running) if each is server]
        await server.stop()
        again = await build(server.core.config, reactor)
        await again.start()
        self._running[at] = (again, dsn)
        return again

    async def close(self) -> None:
        for server, dsn in self._running:
            await server.stop()
            self._postgres.give_back(dsn)


@pytest_twisted.async_yield_fixture
async def world(postgres: TestServer, tmp_path: Path) -> Iterator[World]:
    made = World(postgres, tmp_path)
    yield made
    await made.close()


def name_of(server: Server) -> ServerName:
    return server.core.server_name


async def test_they_ask_each_other_and_believe_each_other(world: World) -> None:
    one, two = await world.start("127.0.0.1"), await world.start("localhost")
    for asking, asked in ((one, two), (two, one)):
        client = asking.federation.client
        assert (await client.version(name_of(asked)))["server"]["name"] == "Hearth"
        # Signed, so that each has fetched the other's keys.
        body = {"pdus": [], "edus": [], "origin": name_of(asking), "origin_server_ts": 1}
        assert await client.send_transaction(name_of(asked), "t1", body) == {"pdus": {}}
        with pytest.raises(Refused) as refused:
            await client.profile(name_of(asked), UserId(f"@nobody:{name_of(asked)}"))
        assert refused.value.errcode == "M_NOT_FOUND"


async def test_a_rotated_key_is_believed_and_the_old_one_is_not_forgotten(world: World) -> None:
    one, two = await world.start("127.0.0.1"), await world.start("localhost")
    body = {"pdus": [], "edus": [], "origin": name_of(one), "origin_server_ts": 1}
    await one.federation.client.send_transaction(name_of(two), "t1", body)
    old, new = one.core.signer.key, prepare_rotation(one.core.config.signing_key_path)
    one = await world.restart(one)
    assert one.core.signer.key == new
    assert await one.federation.client.send_transaction(name_of(two), "t2", body) == {"pdus": {}}
    known = (await two.federation.keys.keys_of({name_of(one): {old.key_id: 0, new.key_id: 0}}))[name_of(one)]
    assert (known[old.key_id].is_old, known[new.key_id].is_old) == (True, False)


async def test_who_trusts_another_authority_does_not_ask(world: World, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    one = await world.start("127.0.0.1", federation_custom_ca_list=[str(other.path)])
    two = await world.start("localhost")
    with pytest.raises(Unreachable, match="the certificate is of an authority"):
        await one.federation.client.version(name_of(two))


async def test_addresses_of_our_own_network_are_refused_by_default(world: World) -> None:
    one = await world.start("127.0.0.1", ip_range_whitelist=[])
    two = await world.start("localhost")
    with pytest.raises(Unreachable, match="not allowed"):
        await one.federation.client.version(name_of(two))


@pytest.mark.parametrize(
    ("resources", "served", "unserved"),
    [
        ("federation", ["/_matrix/federation/v1/version", "/_matrix/key/v2/server"], ["/_matrix/client/versions"]),
        ("keys", ["/_matrix/key/v2/server"], ["/_matrix/federation/v1/version", "/_matrix/client/versions"]),
        ("client", ["/_matrix/client/versions"], ["/_matrix/federation/v1/version", "/_matrix/key/v2/server"]),
    ],
)
async def test_a_listener_serves_what_it_names(
    world: World, resources: str, served: list[str], unserved: list[str]
) -> None:
    server = await world.start("127.0.0.1", resources)
    wire = server.federation.wire
    for path in [*served, *unserved]:
        answer = await wire.send(WireRequest(name_of(server), "GET", path))
        assert answer.status == (200 if path in served else 404), path
