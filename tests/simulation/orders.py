"""How events of another server come in: some never, some twice, and what came later perhaps earlier."""

import random
from collections.abc import Iterator, Sequence

from matrix.events import Event


def in_some_order(events: Sequence[Event], chance: random.Random) -> Iterator[list[Event]]:
    """A few at a time. What never comes, the receiver has to ask for."""
    told = [event for event in events if chance.random() < 0.8]
    told += [event for event in told if chance.random() < 0.1]
    told.sort(key=lambda event: event.depth + chance.randint(0, 6))
    while told:
        size = chance.randint(1, 6)
        yield told[:size]
        told = told[size:]
