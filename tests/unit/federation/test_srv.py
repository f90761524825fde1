"""SRV records: their order, and for how long they count."""

from collections import Counter
from random import Random

from twisted.internet.task import Clock as Reactor

from federation.outbound.srv import LEAST_S, MAX_RECORDS, NONE_S, Srv, SrvRecord, in_order
from homeserver.runtime.clock import Clock


def record(host: str, priority: int = 0, weight: int = 0, ttl_s: int = 3600) -> SrvRecord:
    return SrvRecord(priority, weight, host, 8448, ttl_s)


def test_the_lowest_priority_comes_first() -> None:
    records = [record("c", 30), record("a", 10), record("b", 20)]
    assert [each.host for each in in_order(records, Random(1).random)] == ["a", "b", "c"]


def test_among_equals_the_weight_decides_by_chance() -> None:
    records, chance = [record("light", 0, 1), record("heavy", 0, 9), record("last", 1, 100)], Random(1).random
    firsts: Counter[str] = Counter()
    for _ in range(1000):
        order = [each.host for each in in_order(records, chance)]
        assert order[2] == "last"
        firsts[order[0]] += 1
    assert 850 < firsts["heavy"] < 950


def test_records_without_weight_are_all_given() -> None:
    records = [record(host) for host in "abc"]
    assert {each.host for each in in_order(records, Random(1).random)} == set("abc")


class Dns:
    def __init__(self, *records: SrvRecord) -> None:
        self.records = records
        self.count = 0

    async def __call__(self, name: str) -> list[SrvRecord]:
        self.count += 1
        return list(self.records)


async def test_records_are_remembered_while_they_live() -> None:
    reactor, dns = Reactor(), Dns(record("a.", ttl_s=100))
    srv = Srv(ask=dns, clock=Clock(reactor))
    for _ in range(3):
        assert [target.host for target in await srv.targets("x")] == ["a"]
    assert dns.count == 1
    reactor.advance(101)
    await srv.targets("x")
    assert dns.count == 2


async def test_a_record_that_lives_for_a_moment_is_kept_a_minute() -> None:
    reactor, dns = Reactor(), Dns(record("a", ttl_s=0))
    srv = Srv(ask=dns, clock=Clock(reactor))
    await srv.targets("x")
    reactor.advance(LEAST_S - 1)
    await srv.targets("x")
    assert dns.count == 1


async def test_that_there_is_none_is_remembered_too() -> None:
    reactor, dns = Reactor(), Dns()
    srv = Srv(ask=dns, clock=Clock(reactor))
    assert await srv.targets("x") == []
    reactor.advance(NONE_S - 1)
    await srv.targets("x")
    assert dns.count == 1


async def test_of_very_many_records_some_are_tried() -> None:
    srv = Srv(ask=Dns(*(record(str(n)) for n in range(1000))), clock=Clock(Reactor()))
    assert len(await srv.targets("x")) == MAX_RECORDS
