"""CPU of a message from a server to another, both servers and PostgreSQL together; of many destinations, and dead ones.

The servers are in one process, joined in memory: real signatures, JSON and databases, but no TLS.

python -m benchmarks.bench_federation_send [--profile]
"""

import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from benchmarks.measured import Cost
from federation.outbound.fan_out import Delivery
from federation.outbound.wire import WireAnswer
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, ServerName, UserId
from storage.change import Entry, Kind
from tests.integration.federation.listening import Listening, outbox_of, shared_room, told_all, until
from tests.support.database import TestServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Homeserver, q

ONE_BY_ONE, AT_ONCE, DESTINATIONS = 300, 300, 2_000


class Counter:
    """Counts the messages that a server is told of."""

    def __init__(self, hs: Homeserver) -> None:
        self._left = 0
        self._arrived: Deferred[None] = Deferred()
        hs.core.storage.read_by(self._read)

    def wait_for(self, count: int) -> "Deferred[None]":
        self._left, self._arrived = count, Deferred()
        return self._arrived

    def _read(self, entries: list[Entry]) -> None:
        self._left -= sum(entry.kind is Kind.EVENT and entry.body.event.type == "m.room.message" for entry in entries)
        if self._left <= 0 and not self._arrived.called:
            self._arrived.callback(None)


async def measure_pair(network: Network, data: Path) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    await bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    counter = Counter(two)
    arrived = counter.wait_for(20)
    for number in range(20):
        await alice.send(room, str(number))
    await arrived
    cost, waits = Cost(data), []
    for number in range(ONE_BY_ONE):
        arrived = counter.wait_for(1)
        began = time.perf_counter()
        await alice.send(room, f"message {number} of a conversation of two")
        await arrived
        waits.append(time.perf_counter() - began)
    print(
        cost.line("one after another, both servers", ONE_BY_ONE), f"  p50 {sorted(waits)[len(waits) // 2] * 1e3:.1f} ms"
    )
    cost = Cost(data)
    arrived = counter.wait_for(AT_ONCE)
    sent = [Deferred.fromCoroutine(alice.send(room, f"message {number}")) for number in range(AT_ONCE)]
    for one_sent in sent:
        await one_sent
    await arrived
    print(cost.line("many at once, both servers", AT_ONCE), flush=True)
    await told_all(one)
    await told_all(two)
    await network.stop("two.test")


class AllTakeIn:
    """Thousands of servers that accept whatever they are sent; `told` are those that have heard of devices."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    async def __call__(self, sent: Sent, deliver: object) -> WireAnswer:
        if b"m.device_list_update" in (sent.request.body or b""):
            self.told.add(sent.request.destination)
        return WireAnswer(200, {"content-type": "application/json"}, b'{"pdus":{}}')


async def measure_many(network: Network, data: Path) -> None:
    """A room with users of thousands of servers: what putting an event into the queues costs, and telling them all."""
    one = network.homeservers["one.test"]
    alice = await one.log_in("alice")
    network.on_request = all_take_in = AllTakeIn()
    room = await alice.create_room()
    users = [UserId(f"@u:s{number}.test") for number in range(DESTINATIONS)]
    for start in range(0, DESTINATIONS, 500):
        await one.server.rooms.intake.send(RoomId(room), [_join(user) for user in users[start : start + 500]])
    await alice.send(room, "the first")
    cost = Cost(data)
    # Each server that is new to her hears of alice's devices: that takes longer than to tell them messages.
    while len(all_take_in.told) < DESTINATIONS:
        await deferLater(reactor, 0.05)
    print(cost.line("told of devices", DESTINATIONS), flush=True)
    await told_all(one)
    cost = Cost(data)
    for number in range(3):
        await alice.send(room, str(number))
        await told_all(one)
    print(cost.line(f"told {DESTINATIONS:,} servers", 3), flush=True)
    await measure_queueing(one, room)
    network.on_request = None
    await alice.send(room, "they are all gone")
    outbox = outbox_of(one)
    await until(lambda: len(outbox.behind) >= DESTINATIONS)
    living = Listening(one, "living.test")
    await living.enter(one, room)
    await told_all(one)
    cost = Cost(data)
    for number in range(100):
        await alice.send(room, str(number))
    await told_all(one)
    print(cost.line(f"to one server, {DESTINATIONS:,} dead ones", 100), flush=True)
    quiet = await shared_room(one, alice, living)
    cost = Cost(data)
    for number in range(100):
        await alice.send(quiet, str(number))
    await told_all(one)
    print(cost.line("to one server, without dead ones", 100), flush=True)


async def measure_queueing(one: Homeserver, room: str) -> None:
    """Putting alone, without sending: the destinations are made busy."""
    outbox, sender = outbox_of(one), one.server.sending.sender
    nid = (await one.server.rooms.heads.room(RoomId(room))).room_nid
    stored = one.core.storage.stream.room_entries(nid, 0, one.core.storage.stream.position)[-1].body
    servers: Sequence[ServerName] = list(await one.server.sending.hosts.in_room(nid))
    outbox._busy.update(servers)
    began = time.process_time()
    for _ in range(10):
        sender._put(Delivery(servers, stored), sender._held)
    print(f"queued for {len(servers):,} servers {(time.process_time() - began) * 100:28.2f} ms CPU each", flush=True)
    outbox._busy.clear()
    outbox.queues.clear()


def _join(user: UserId) -> NewEvent:
    return NewEvent(type="m.room.member", sender=user, state_key=user, content={"membership": "join"})


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-benchmark-", ignore_cleanup_errors=True) as name:
        server = TestServer(Path(name) / "data")
        network = Network(server, Path(name))
        profile = cProfile.Profile()
        if "--profile" in sys.argv:
            profile.enable()
        try:
            await measure_pair(network, Path(name) / "data")
            profile.disable()
            if "--profile" in sys.argv:
                pstats.Stats(profile).sort_stats("tottime").print_stats(45)
            await measure_many(network, Path(name) / "data")
        finally:
            profile.disable()
            await network.close()
            server.postgres.stop()


def begin() -> None:
    running: Deferred[None] = Deferred.fromCoroutine(main())
    running.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    running.addBoth(lambda _: reactor.stop())


if __name__ == "__main__":
    reactor.callWhenRunning(begin)
    reactor.run()
