"""Numbers for state keys and events: the same for everyone, and none of them twice."""

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from storage.database import Database
from storage.interning import EVENT_BLOCK, Nids, StateKeys

NAME, TOPIC, ALICE = ("m.room.name", ""), ("m.room.topic", ""), ("m.room.member", "@alice:x")


@pytest.fixture
def database(dsn: str):
    database = Database(dsn, reactor=reactor, threads=4)
    database.start()
    yield database
    database.stop()


async def test_a_key_keeps_its_number(database: Database) -> None:
    keys = StateKeys(database=database)
    first = await keys.nids([NAME, ALICE])
    assert await keys.nids([NAME, ALICE]) == first
    assert await StateKeys(database=database).nids([ALICE, NAME]) == first
    assert len(set((await keys.nids([NAME, TOPIC, ALICE])).values())) == 3


async def test_processes_that_meet_a_key_at_once_agree(database: Database) -> None:
    wanted = [("m.room.member", f"@user{number}:x") for number in range(50)]
    orders = [wanted, wanted[::-1], wanted[25:] + wanted[:25], wanted]
    found = await gatherResults([Deferred.fromCoroutine(StateKeys(database=database).nids(order)) for order in orders])
    assert found[0] == found[1] == found[2] == found[3]
    assert len(set(found[0].values())) == 50


async def test_what_was_forgotten_is_looked_up_again(database: Database) -> None:
    keys = StateKeys(database=database, max_keys=2)
    first = await keys.nids([NAME, TOPIC])
    both = await keys.nids([NAME, ALICE])
    assert both[NAME] == first[NAME]
    assert await keys.nids([TOPIC, NAME, ALICE]) == first | both


async def test_no_number_is_given_twice_by_whichever_process(database: Database) -> None:
    first, second = (Nids("event_nids", EVENT_BLOCK, database=database) for _ in range(2))
    parts = await gatherResults(
        [Deferred.fromCoroutine(nids.take(count)) for nids in (first, second, first) for count in (1, 200, 300)]
    )
    taken = [nid for part in parts for nid in part]
    assert len(taken) == 3 * 501
    assert len(set(taken)) == len(taken)


async def test_one_process_counts_upwards(database: Database) -> None:
    nids = Nids("event_nids", EVENT_BLOCK, database=database)
    taken = [*await nids.take(3), *await nids.take(EVENT_BLOCK), *await nids.take(2)]
    assert taken == sorted(taken)
