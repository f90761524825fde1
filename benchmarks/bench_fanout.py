"""What it costs to tell one message to each of the members of a room who wait for it by long-poll.

    python -m benchmarks.bench_fanout [members] [messages]

CPU of Hearth's process in ms for each member told, HTTP of both ends in memory included, sockets not; then the same
without HTTP.
"""

import sys
import tempfile
import time
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from homeserver.services.sync.request import SyncRequest
from matrix.filters import parse_filter
from matrix.ids import DeviceId, UserId
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare
from tests.support.homeserver import Client, Homeserver, make_config

LAZY = parse_filter({"room": {"state": {"lazy_load_members": True}}})
PLAIN = parse_filter({})


async def run(members: int, messages: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-benchmark-", ignore_cleanup_errors=True) as name:
        postgres = EmbeddedPostgres(Path(name) / "data" / "postgres")
        prepare(postgres.dsn)
        hs = await Homeserver.start(postgres.dsn, make_config(Path(name)))
        clients = [await hs.register(f"user{number}") for number in range(members)]
        room = await clients[0].create_room()
        for client in clients[1:]:
            await client.join(room)
        for what, wanted in (("no filter", PLAIN), ("lazy members", LAZY)):
            await tell(hs, clients, room, messages, what, wanted)
        await hs.stop()
        postgres.stop()


async def tell(hs: Homeserver, clients: list[Client], room: str, messages: int, what: str, wanted: object) -> None:
    sync = hs.server._syncing.sync
    spent = []
    for number in range(messages):
        since = hs.core.storage.stream.position
        requests = [
            SyncRequest(
                user_id=UserId(client.user_id),
                device_id=DeviceId(client.device_id),
                device_key=client.device_id,
                since=since,
                filter=wanted,
            )
            for client in clients[1:]
        ]
        waiting = [Deferred.fromCoroutine(sync.answer(request, 30_000)) for request in requests]
        before = time.process_time()
        await clients[0].send(room, f"message {number}")
        sent = time.process_time()
        await gatherResults(waiting)
        spent.append((time.process_time() - sent, sent - before))
    spent.sort()
    each = [1000 * told / len(requests) for told, _ in spent]
    print(f"{what}: {each[len(each) // 2]:.3f} ms each (best {each[0]:.3f}) of {len(requests)} members")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    react(lambda _: Deferred.fromCoroutine(run(*arguments, *(200, 30)[len(arguments) :])))
