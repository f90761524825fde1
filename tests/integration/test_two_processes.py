"""Two processes of one server: one room, one order, one memory, and tokens that are valid at either."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, gatherResults

from storage.memberships import members_of
from storage.rooms import load_heads
from tests.support.consistency import faults
from tests.support.homeserver import Client, Homeserver

Start = Callable[[], Awaitable[Homeserver]]
SENDERS = 6
EACH = 8


async def caught_up(*processes: Homeserver) -> None:
    """All of them have been told of everything that is committed."""
    for process in processes:
        head = process.rows("SELECT position FROM stream_head")[0][0]
        stream, deferred = process.core.storage.stream, Deferred()

        def look(entries: object, stream=stream, head=head, deferred=deferred) -> None:
            if stream.position >= head and not deferred.called:
                deferred.callback(None)

        stream.read_by(look)
        look(())
        await deferred


async def all_at_once(*waiting: Awaitable[object]) -> None:
    await gatherResults([Deferred.fromCoroutine(one) for one in waiting], consumeErrors=True)  # type: ignore[arg-type]


async def memory_is_the_database(process: Homeserver) -> None:
    """Heads and members in memory are those that a process would read that starts now."""
    rooms, database = process.server.rooms, process.core.storage.database
    nids = [nid for (nid,) in process.rows("SELECT room_nid FROM rooms")]
    for nid, row in (await database.run(load_heads, nids)).items():
        head = rooms.heads.known(nid)
        assert head is not None
        after = head.after if isinstance(head.after, int) else head.after.position_in(nid)
        assert (after, sorted(head.extremities), head.state) == (row.position, sorted(row.extremities), row.state)
        assert await rooms.members.members_of(nid) == await database.read(members_of, nid)


async def test_writers_at_two_processes_make_one_room(start_homeserver: Start, dsn: str) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice = await first.register("alice")
    room = await alice.create_room()
    sent: list[str] = []

    async def write(client: Client, number: int) -> None:
        for count in range(EACH):
            if count % 4 == 3:
                sent.append(
                    await client.set_state(room, "org.example.count", {"n": count, "by": number}, str(number % 3))
                )
            else:
                sent.append(await client.send(room, f"{number}.{count}"))

    processes = (first, second)
    await all_at_once(*(write(alice.at(processes[number % 2]), number) for number in range(SENDERS)))
    await caught_up(*processes)
    assert len(set(sent)) == SENDERS * EACH
    stored = {event_id for (event_id,) in first.rows("SELECT event_id FROM events WHERE position IS NOT NULL")}
    assert set(sent) <= stored
    assert faults(dsn) == []
    for process in processes:
        # Loads what a conflict has made it forget; what it kept must be right.
        await process.server.rooms.heads.get_many([nid for (nid,) in process.rows("SELECT room_nid FROM rooms")])
        await memory_is_the_database(process)


async def test_a_head_in_memory_follows_the_other_process(start_homeserver: Start) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice = await first.register("alice")
    room = await alice.create_room()
    await alice.at(second).set_state(room, "m.room.name", {"name": "said at the second"})
    await caught_up(first, second)
    assert await alice.get(f"/rooms/{room}/state/m.room.name") == {"name": "said at the second"}
    await alice.set_state(room, "m.room.name", {"name": "said at the first"})
    await caught_up(first, second)
    assert await alice.at(second).get(f"/rooms/{room}/state/m.room.name") == {"name": "said at the first"}


async def test_members_follow_the_other_process(start_homeserver: Start) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice, bob = await first.register("alice"), await first.register("bob")
    room = await alice.create_room()
    await bob.at(second).join(room)
    await caught_up(first, second)
    nid = first.rows("SELECT room_nid FROM rooms")[0][0]
    for process in (first, second):
        assert await process.server.rooms.members.members_of(nid) == {alice.user_id: "join", bob.user_id: "join"}
    await bob.leave(room)
    await caught_up(first, second)
    for process in (first, second):
        assert await process.server.rooms.members.members_of(nid) == {alice.user_id: "join"}


async def test_a_sync_goes_on_at_either_process_and_tells_everything_once(start_homeserver: Start) -> None:
    processes = await start_homeserver(), await start_homeserver()
    alice, bob = await processes[0].register("alice"), await processes[0].register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await caught_up(*processes)
    reader = bob.at(processes[0])
    await reader.sync()
    heard: list[str] = []
    chance = random.Random(5)

    async def write(number: int) -> None:
        for count in range(10):
            await alice.at(processes[(number + count) % 2]).send(room, f"{number}.{count}")

    async def read() -> None:
        nonlocal reader
        while len(heard) < 30:
            since = reader.since
            reader = bob.at(processes[chance.randrange(2)])
            reader.since = since
            # All that may come at once: of more, a timeline would leave out the older.
            timeline = await reader.timeline(room, timeout=5000, filter='{"room": {"timeline": {"limit": 50}}}')
            heard.extend(event["content"]["body"] for event in timeline if event["type"] == "m.room.message")

    await all_at_once(write(0), write(1), write(2), read())
    assert Counter(heard) == Counter(f"{number}.{count}" for number in range(3) for count in range(10))


async def test_a_request_repeated_at_the_other_process_has_the_first_ones_answer(start_homeserver: Start) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice = await first.register("alice")
    room = await alice.create_room()
    path, content = f"/rooms/{room}/send/m.room.message/once", {"msgtype": "m.text", "body": "once"}
    answers: list[str] = []

    async def send(client: Client) -> None:
        answers.append((await client.ok("PUT", path, content))["event_id"])

    await all_at_once(*(send(alice.at(process)) for process in (first, second) * 3))
    assert len(answers) == 6 and len(set(answers)) == 1
    assert first.rows("SELECT count(*) FROM events WHERE type = 'm.room.message'") == [(1,)]
