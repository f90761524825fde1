"""Shards of work: shared out evenly, one holder each, inherited when a process ends."""

from collections.abc import Iterator

import pytest
from twisted.internet import reactor

from storage.shard_locks import ShardLocks

COUNT = 8


@pytest.fixture
def locks(dsn: str) -> Iterator[list[ShardLocks]]:
    made = [ShardLocks(dsn, reactor=reactor, work=77, count=COUNT) for _ in range(3)]
    yield made
    for one in made:
        one.stop()


async def settle(locks: list[ShardLocks]) -> list[frozenset[int]]:
    """What each holds when all have looked twice and released what is too much."""
    for _ in range(2):
        for one in locks:
            await one.release((await one.look()).surplus)
    return [(await one.look()).shards for one in locks]


async def test_the_first_has_all(locks: list[ShardLocks]) -> None:
    assert (await locks[0].look()).shards == frozenset(range(COUNT))
    assert (await locks[0].look()).surplus == frozenset()


async def test_who_comes_later_gets_a_share_when_it_is_released(locks: list[ShardLocks]) -> None:
    await locks[0].look()
    assert (await locks[1].look()).shards == frozenset()
    assert len((await locks[0].look()).surplus) == COUNT // 2
    shares = await settle(locks[:2])
    assert [len(share) for share in shares] == [4, 4] and shares[0] | shares[1] == frozenset(range(COUNT))


async def test_three_share_evenly_and_never_hold_the_same(locks: list[ShardLocks]) -> None:
    shares = await settle(locks)
    assert sorted(len(share) for share in shares) == [2, 3, 3]
    assert sum(len(share) for share in shares) == len(frozenset().union(*shares)) == COUNT


async def test_what_one_held_others_inherit(locks: list[ShardLocks]) -> None:
    await settle(locks)
    locks[0].stop()
    await locks[2].look()
    shares = await settle(locks[1:])
    while sum(map(len, shares)) < COUNT:
        # PostgreSQL hears only after a while that the connection is closed.
        shares = await settle(locks[1:])
    assert [len(share) for share in shares] == [4, 4]


async def test_other_work_is_other_locks(locks: list[ShardLocks], dsn: str) -> None:
    await locks[0].look()
    other = ShardLocks(dsn, reactor=reactor, work=78, count=COUNT)
    assert len((await other.look()).shards) == COUNT
    other.stop()
