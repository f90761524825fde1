"""Long passes in parts: all of it, in order, and others have a turn in between."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Reactor

from homeserver.runtime.clock import Clock
from homeserver.runtime.slices import slices


@pytest.mark.parametrize("count", [0, 3, 4, 9, 10])
def test_others_have_a_turn_between_two_parts(count: int) -> None:
    reactor = Reactor()
    seen: list[list[int]] = []

    async def go_through() -> None:
        async for part in slices(list(range(count)), Clock(reactor), 3):
            seen.append(list(part))

    done = Deferred.fromCoroutine(go_through())
    assert [one for part in seen for one in part] == list(range(min(count, 3))), "no more than one part at once"
    assert bool(done.called) is (count <= 3)
    reactor.advance(0)
    assert done.called
    assert [one for part in seen for one in part] == list(range(count))
    assert all(len(part) <= 3 for part in seen)
