"""Events per second and CPU per event, by how many are sent at once.

"committed" hands over finished changes: the committer and PostgreSQL alone. "sent" decides too: authorization, hash,
signature, and the head of the room, by that many senders in one room, each waiting for its own event to be durable.

python -m benchmarks.bench_commit [--profile]
"""

import cProfile
import pstats
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from benchmarks.measured import Cost, Hearth, message, start
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId
from storage import events as event_rows
from storage.change import Change, Entry, Kind
from storage.events import EventRow, StoredEvent

SIZES = (1, 10, 50, 100)
SENDERS = (1, 20, 100)
EVENTS = 3000


async def committed(hearth: Hearth, room_id: RoomId, size: int) -> None:
    rounds = (1000 if size == 1 else EVENTS) // size
    room = await hearth.heads.get(room_id)
    (like,) = await hearth.intake.send(room_id, [message(0)])
    first = (await hearth.heads.get(room_id)).after
    nid, changes = 10**9 * size, []
    for number in range(rounds * size):
        event = like.event
        entry = Entry(Kind.EVENT, room.room_nid)
        fields = {name: getattr(event, name) for name in event.__slots__ if not name.startswith("_")}
        fields["event_id"] = type(event.event_id)(f"$bench-{size}-{number:034}")
        stored = StoredEvent(nid + number, room.room_nid, type(event)(**fields, canonical=event.canonical), entry)
        change = Change().on_head(room.room_nid, changes[-1] if changes else first, [stored.nid])
        event_rows.add(change, EventRow(stored, None, [stored.nid - 1], [1, 2, 3]), change.announce(entry))
        entry.body = stored
        changes.append(change)
    cost = Cost(hearth.directory)
    for number in range(0, len(changes), size):
        await gatherResults([hearth.storage.committer(change) for change in changes[number : number + size]])
    print(cost.line(f"committed, {size} at once", rounds * size), flush=True)


async def sent(hearth: Hearth, room_id: RoomId, senders: int, new: "list[NewEvent]") -> None:
    waiting = iter(new)

    async def sender() -> None:
        for one in waiting:
            await hearth.intake.send(room_id, [one])

    cost = Cost(hearth.directory)
    await gatherResults([Deferred.fromCoroutine(sender()) for _ in range(senders)])
    print(cost.line(f"sent, {senders} senders in one room", len(new)), flush=True)


async def run(hearth: Hearth) -> None:
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    if profile is None:
        for size in SIZES:
            await committed(hearth, await hearth.room(), size)
    for senders in SENDERS:
        room_id = await hearth.room()
        await sent(hearth, room_id, senders, [message(number) for number in range(200)])
        if profile is not None:
            profile.enable()
        await sent(hearth, room_id, senders, [message(number) for number in range(500 if senders == 1 else EVENTS)])
        if profile is not None:
            profile.disable()
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    with start() as hearth:
        Deferred.fromCoroutine(run(hearth)).addErrback(lambda failure: failure.printTraceback()).addBoth(
            lambda _: reactor.stop()
        )
        reactor.run()


if __name__ == "__main__":
    main()
