"""What a sync asks of PostgreSQL: statements counted, so that they stay as few."""

from collections.abc import Awaitable
from typing import Any

import pytest_twisted

from tests.support.homeserver import Client, Homeserver
from tests.support.statements import Statements, statements

__all__ = ["statements"]

# Background work has statements too: the least of several times counts.
TIMES = 4


@pytest_twisted.async_fixture
async def hs(statements: Statements, start_homeserver: Any) -> Homeserver:
    homeserver: Homeserver = await start_homeserver("presence: {enabled: false}")
    return homeserver


async def reads_of(hs: Homeserver, statements: Statements, asked: Awaitable[object]) -> list[str]:
    statements.clear()
    await asked
    return [text for thread, text in statements.of(hs) if thread.startswith("database")]


async def test_what_a_user_did_without_a_transaction_id_is_synced_without_a_look(
    hs: Homeserver, statements: Statements
) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    counts = []
    for number in range(TIMES):
        since = (await alice.ok("GET", "/sync"))["next_batch"]
        await alice.ok("PUT", f"/rooms/{room}/state/m.room.topic", {"topic": str(number)})
        counts.append(len(await reads_of(hs, statements, alice.ok("GET", f"/sync?since={since}"))))
    assert min(counts) == 0, counts


async def test_the_newest_events_of_rooms_are_read_from_memory_and_account_data_once(
    hs: Homeserver, statements: Statements
) -> None:
    alice: Client = await hs.register("alice")
    for _ in range(3):
        await alice.send(await alice.create_room(), "hello")
    await alice.ok("GET", "/sync")
    texts = [await reads_of(hs, statements, alice.ok("GET", "/sync")) for _ in range(TIMES)]
    fewest = min(texts, key=len)
    # Account data, receipts, and what was in force before the user came into the rooms.
    assert len(fewest) <= 3, fewest
    assert not any("FROM events " in text for text in fewest), fewest
    assert sum("FROM account_data" in text for text in fewest) == 1, fewest
