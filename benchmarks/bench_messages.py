"""CPU of a page of 100 messages, an event's context, and the members of a room of 500: through HTTP in memory.

"warm": the events are in memory, as they are while people talk; "cold": of a process that has just started.

python -m benchmarks.bench_messages [--profile]
"""

import cProfile
import pstats
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from benchmarks.measured import Cost, message
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare
from tests.support.homeserver import Client, Homeserver, make_config, q

MESSAGES, MEMBERS, ROUNDS = 2_000, 500, 300


async def furnish(hs: Homeserver, alice: Client) -> str:
    """A room of 500 members and 2,000 messages."""
    room = await alice.create_room()
    for first in range(0, MEMBERS, 100):
        users = [UserId(f"@user{number}:hearth.test") for number in range(first, first + 100)]
        await hs.server.rooms.intake.send(RoomId(room), [_join(user) for user in users])
    for first in range(0, MESSAGES, 100):
        new = [message(number) for number in range(first, first + 100)]
        sender = UserId(alice.user_id)
        sent = [NewEvent(type=one.type, sender=sender, content=one.content) for one in new]
        await hs.server.rooms.intake.send(RoomId(room), sent)
    return room


def _join(user: UserId) -> NewEvent:
    content = {"membership": "join", "displayname": user.localpart}
    return NewEvent(type="m.room.member", sender=user, state_key=user, content=content)


async def measure(name: str, data: Path, client: Client, path: str, rounds: int, **query: Any) -> None:
    cost = Cost(data)
    for _ in range(rounds):
        response = await client.ask("GET", path, **query)
        assert response.status == 200, response
    print(cost.line(name, rounds), f" {len(response.body):,} bytes", flush=True)


async def run(dsn: str, data: Path, directory: Path) -> None:
    hs = await Homeserver.start(dsn, make_config(directory))
    alice = await hs.register("alice")
    room = f"/rooms/{q(await furnish(hs, alice))}"
    lazy = '{"lazy_load_members":true}'
    newest = (await alice.get(f"{room}/messages", dir="b", limit=1000))["chunk"][500]["event_id"]
    for rounds, warmth in ((ROUNDS, "warm"), (1, "cold")):
        if warmth == "cold":
            await hs.stop()
            hs = await Homeserver.start(dsn, make_config(directory))
            alice = alice.at(hs)
            await alice.get("/account/whoami")
        await measure(f"page of 100, {warmth}", data, alice, f"{room}/messages", rounds, dir="b", limit=100)
        query = {"dir": "b", "limit": 100, "filter": lazy}
        await measure(f"page of 100, lazy members, {warmth}", data, alice, f"{room}/messages", rounds, **query)
        await measure(f"context of 20, lazy, {warmth}", data, alice, f"{room}/context/{q(newest)}", rounds,
                      limit=20, filter=lazy)  # fmt: skip
        await measure(f"members, {warmth}", data, alice, f"{room}/members", rounds)
        await measure(f"joined_members, {warmth}", data, alice, f"{room}/joined_members", rounds)
        await measure(f"whoami, {warmth}", data, alice, "/account/whoami", rounds)
    await hs.stop()


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-benchmark-", ignore_cleanup_errors=True) as name:
        postgres = EmbeddedPostgres(Path(name) / "data")
        prepare(postgres.dsn)
        (Path(name) / "config").mkdir()
        profile = cProfile.Profile()
        if "--profile" in sys.argv:
            profile.enable()
        try:
            await run(postgres.dsn, Path(name) / "data", Path(name) / "config")
        finally:
            profile.disable()
            postgres.stop()
        if "--profile" in sys.argv:
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)


def begin() -> None:
    running: Deferred[None] = Deferred.fromCoroutine(main())
    running.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    running.addBoth(lambda _: reactor.stop())


if __name__ == "__main__":
    reactor.callWhenRunning(begin)
    reactor.run()
