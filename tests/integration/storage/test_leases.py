"""Pieces of work: one holder each, and another when it is done or gone."""

from collections.abc import Iterator

import pytest
from twisted.internet import reactor

from storage.leases import Leases


@pytest.fixture
def processes(dsn: str) -> Iterator[list[Leases]]:
    made = [Leases(dsn, reactor=reactor, work=78) for _ in range(2)]
    yield made
    assert [(one._users, one._database) for one in made] == [(0, None)] * 2, "a connection is left"


async def until_free(leases: Leases, number: int) -> None:
    """PostgreSQL hears only after a while that a connection is closed. The caller holds another lease."""
    while True:
        async with leases.of(number) as is_ours:
            if is_ours:
                return


async def test_a_piece_of_work_is_one_processes(processes: list[Leases]) -> None:
    one, two = processes
    async with one.of(1) as first, two.of(1) as second, two.of(2) as other:
        assert (first, second, other) == (True, False, True)


async def test_what_is_done_may_be_anothers(processes: list[Leases]) -> None:
    one, two = processes
    async with one.of(1), one.of(2):
        pass
    async with two.of(3):
        await until_free(two, 1)
        await until_free(two, 2)


async def test_what_is_done_is_free_while_other_work_goes_on(processes: list[Leases]) -> None:
    one, two = processes
    async with one.of(1):
        async with one.of(2):
            pass
        async with two.of(2) as is_free, two.of(1) as is_not:
            assert is_free and not is_not


async def test_work_that_fails_is_free_again(processes: list[Leases]) -> None:
    one, two = processes
    with pytest.raises(ZeroDivisionError):
        async with one.of(1):
            raise ZeroDivisionError
    async with two.of(2):
        await until_free(two, 1)
