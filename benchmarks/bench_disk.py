"""Bytes on disk for an event, indexes included, by what is said.

Each event is sent with a transaction id, as clients do; sizes are what PostgreSQL's files hold, after a VACUUM.

python -m benchmarks.bench_disk
"""

import random
import string
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from benchmarks.measured import ALICE, Hearth, start
from homeserver.services.rooms.intake import NewEvent
from matrix.events import Json
from matrix.ids import RoomId
from storage.event_transactions import TransactionKey

EVENTS = 5000
SENDERS = 50
_SIZES = (
    "SELECT c.oid::regclass::text, pg_table_size(c.oid), pg_indexes_size(c.oid) FROM pg_class c"
    " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
)
chance = random.Random(1)


def text(words: int) -> str:
    return " ".join("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(words))


def message(parent: str) -> NewEvent:
    content: Json = {"msgtype": "m.text", "body": text(chance.randint(2, 30)), "m.mentions": {}}
    if chance.random() < 0.2:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": parent}}
    return NewEvent(type="m.room.message", sender=ALICE, content=content)


def encrypted(parent: str) -> NewEvent:
    """Megolm: the content, its JSON and padding, in base64."""
    ciphertext = "".join(chance.choices(string.ascii_letters + string.digits + "+/", k=chance.randint(300, 700)))
    content: Json = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": ciphertext,
        "device_id": "ABCDEFGHIJ",
        "sender_key": "s" * 43,
        "session_id": "".join(chance.choices(string.ascii_letters, k=43)),
    }
    return NewEvent(type="m.room.encrypted", sender=ALICE, content=content)


def reaction(parent: str) -> NewEvent:
    content: Json = {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": chance.choice("👍🎉❤😄")}}
    return NewEvent(type="m.reaction", sender=ALICE, content=content)


def state(parent: str) -> NewEvent:
    """Of a widget, a call, a bridge: many keys, changed now and then."""
    content: Json = {"url": "https://example.org/" + text(3).replace(" ", "/"), "name": text(3), "at": EVENTS}
    key = f"{chance.randrange(1000)}"
    return NewEvent(type="org.example.widget", sender=ALICE, state_key=key, content=content)


async def sizes(hearth: Hearth) -> dict[str, tuple[int, int]]:
    hearth.rows("VACUUM")
    return {str(name): (table, indexes) for name, table, indexes in hearth.rows(_SIZES)}


async def measure(hearth: Hearth, name: str, make: Callable[[str], NewEvent]) -> None:
    room_id: RoomId = await hearth.room()
    (first,) = await hearth.intake.send(room_id, [message("$none")])
    before = await sizes(hearth)
    numbers = iter(range(EVENTS))

    async def sender() -> None:
        for number in numbers:
            key = TransactionKey(
                ALICE, "ABCDEFGHIJ", f"send/{room_id}/{name}", f"m{1_700_000_000_000 + number}.{number}"
            )
            await hearth.intake.send(room_id, [make(first.event_id)], transaction=key)

    await gatherResults([Deferred.fromCoroutine(sender()) for _ in range(SENDERS)])
    after = await sizes(hearth)
    grown = {
        table: (size - before.get(table, (0, 0))[0], indexes - before.get(table, (0, 0))[1])
        for table, (size, indexes) in after.items()
    }
    for_a_week = sum(grown.pop("event_transactions")) / EVENTS
    total = sum(map(sum, grown.values())) / EVENTS
    print(f"{name:20} {total:7.0f} B an event, and for a week {for_a_week:4.0f} B for its transaction id", flush=True)
    for table, (size, indexes) in sorted(grown.items(), key=lambda item: -sum(item[1])):
        if size + indexes > EVENTS:
            print(f"    {table:22} rows {size / EVENTS:6.0f}  indexes {indexes / EVENTS:6.0f}", flush=True)


async def run(hearth: Hearth) -> None:
    for name, make in (("messages", message), ("encrypted", encrypted), ("reactions", reaction), ("state", state)):
        await measure(hearth, name, make)


def main() -> None:
    with start() as hearth:
        done = Deferred.fromCoroutine(run(hearth)).addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]
        reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
