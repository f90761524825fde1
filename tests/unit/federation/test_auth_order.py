"""Events put in the order of their auth events, a few at a time."""

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from homeserver.services.rooms.remote.judging import STEP, in_auth_order
from matrix.room_versions import V11


def event(number: int, *auth: int) -> Any:
    """All that is asked of it."""
    ids = tuple(f"${one}" for one in auth)
    return SimpleNamespace(event_id=f"${number}", auth_events=ids, version=V11, room_id="!a:b")


def test_each_comes_after_its_auth_events_and_no_step_takes_many() -> None:
    count = 5 * STEP
    events = [event(number, *{number // 2, number // 3} - {number}) for number in range(count)]
    random.Random(1).shuffle(events)
    taken = 0

    def told() -> Iterator[Any]:
        nonlocal taken
        for one in events:
            taken += 1
            yield one

    steps, before, turns = in_auth_order(told()), 0, 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            ordered = done.value
            break
        turns += 1
        assert taken - before <= STEP
        before = taken
    places = {one.event_id: at for at, one in enumerate(ordered)}
    assert len(places) == count
    assert all(places[auth] < at for at, one in enumerate(ordered) for auth in one.auth_events)
    # Each of the three passes over them gives way as often.
    assert turns >= 3 * (count // STEP) - 1
