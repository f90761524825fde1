"""From a server's name to where it is: each step of the specification's table.

Source: server-server API, "Resolving server names".
"""

import pytest
from twisted.internet.task import Clock as Reactor

from federation.outbound.errors import Unreachable
from federation.outbound.resolve import Resolver, Route, split
from federation.outbound.srv import Srv, SrvRecord, Target
from federation.outbound.well_known import WellKnown
from homeserver.runtime.clock import Clock
from homeserver.web.agent import Bounds, Fetched, FetchFailed
from matrix.ids import ServerName

FED, OLD = "_matrix-fed._tcp.", "_matrix._tcp."


class World:
    """What .well-known and DNS say. `asked` is what was asked of either."""

    def __init__(self) -> None:
        self.delegations: dict[str, str] = {}
        self.records: dict[str, list[SrvRecord]] = {}
        self.asked: list[str] = []
        clock = Clock(Reactor())
        self._resolver = Resolver(well_known=WellKnown(get=self._get, clock=clock), srv=Srv(ask=self._ask, clock=clock))

    async def resolve(self, name: str) -> Route:
        return await self._resolver.resolve(ServerName(name))

    async def _get(self, url: str, *, bounds: Bounds) -> Fetched:
        self.asked.append(url)
        host = url.removeprefix("https://").partition("/")[0]
        if host not in self.delegations:
            raise FetchFailed("none")
        return Fetched(200, {}, b'{"m.server": "%s"}' % self.delegations[host].encode(), url)

    async def _ask(self, name: str) -> list[SrvRecord]:
        self.asked.append(name)
        return self.records.get(name, [])


@pytest.mark.parametrize(
    ("name", "step", "target", "host", "tls_name"),
    [
        ("192.0.2.1", "1", ("192.0.2.1", 8448), "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:1234", "1", ("192.0.2.1", 1234), "192.0.2.1:1234", "192.0.2.1"),
        ("[2001:db8::1]", "1", ("2001:db8::1", 8448), "[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:1234", "1", ("2001:db8::1", 1234), "[2001:db8::1]:1234", "2001:db8::1"),
        ("hs.test:1234", "2", ("hs.test", 1234), "hs.test:1234", "hs.test"),
    ],
)
async def test_addresses_and_ports_need_no_question(
    name: str, step: str, target: tuple[str, int], host: str, tls_name: str
) -> None:
    world = World()
    world.delegations["hs.test"] = "elsewhere.test"
    assert await world.resolve(name) == Route((Target(*target),), host, tls_name, step)
    assert world.asked == []


@pytest.mark.parametrize(
    ("delegated", "records", "step", "target", "host", "tls_name"),
    [
        ("192.0.2.1", [], "3.1", ("192.0.2.1", 8448), "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", [], "3.1", ("192.0.2.1", 443), "192.0.2.1:443", "192.0.2.1"),
        ("[2001:db8::1]:443", [], "3.1", ("2001:db8::1", 443), "[2001:db8::1]:443", "2001:db8::1"),
        ("d.test:443", [], "3.2", ("d.test", 443), "d.test:443", "d.test"),
        ("d.test", [FED, OLD], "3.3", ("srv-fed.test", 1), "d.test", "d.test"),
        ("d.test", [OLD], "3.4", ("srv-old.test", 2), "d.test", "d.test"),
        ("d.test", [], "3.5", ("d.test", 8448), "d.test", "d.test"),
    ],
)
async def test_a_delegated_name(
    delegated: str, records: list[str], step: str, target: tuple[str, int], host: str, tls_name: str
) -> None:
    world = World()
    world.delegations["hs.test"] = delegated
    found = {FED: SrvRecord(1, 1, "srv-fed.test", 1), OLD: SrvRecord(1, 1, "srv-old.test.", 2)}
    world.records = {service + "d.test": [found[service]] for service in records}
    # Of the name that was delegated no record counts any more.
    world.records[FED + "hs.test"] = [SrvRecord(1, 1, "wrong.test", 9)]
    assert await world.resolve("hs.test") == Route((Target(*target),), host, tls_name, step)


@pytest.mark.parametrize(
    ("records", "step", "target"),
    [([FED, OLD], "4", ("srv-fed.test", 1)), ([OLD], "5", ("srv-old.test", 2)), ([], "6", ("hs.test", 8448))],
)
async def test_a_name_that_is_not_delegated(records: list[str], step: str, target: tuple[str, int]) -> None:
    world = World()
    found = {FED: SrvRecord(1, 1, "srv-fed.test", 1), OLD: SrvRecord(1, 1, "srv-old.test", 2)}
    world.records = {service + "hs.test": [found[service]] for service in records}
    assert await world.resolve("hs.test") == Route((Target(*target),), "hs.test", "hs.test", step)


async def test_a_delegation_is_not_followed_twice() -> None:
    world = World()
    world.delegations = {"hs.test": "d.test", "d.test": "e.test"}
    assert (await world.resolve("hs.test")).host == "d.test"
    assert [each for each in world.asked if each.startswith("https")] == ["https://hs.test/.well-known/matrix/server"]


async def test_a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere() -> None:
    world = World()
    world.records[FED + "hs.test"] = [SrvRecord(0, 0, ".", 0)]
    with pytest.raises(Unreachable, match="no such service"):
        await world.resolve("hs.test")


@pytest.mark.parametrize(
    "name", ["999.1.1.1", "1.2.3", "[::zz]", "hs.test:0", "hs.test:65536", "a..test", "a" * 64 + ".test", "."]
)
async def test_names_that_nobody_can_have(name: str) -> None:
    with pytest.raises(Unreachable):
        await World().resolve(name)


def test_a_name_of_digits_is_an_address() -> None:
    assert split("127.0.0.1").is_address
    assert not split("1.example").is_address
