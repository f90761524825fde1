"""Long passes over many things, a part at a time, so that everybody else has a turn in between."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from homeserver.runtime.clock import Clock

T = TypeVar("T")

# Of work that takes a microsecond or two for each.
MANY = 1_000


async def slices(items: Sequence[T], clock: Clock, size: int | None = None) -> AsyncIterator[Sequence[T]]:
    """The parts in order, of MANY if no size is given; between two of them the reactor turns."""
    size = size or MANY
    for start in range(0, len(items), size):
        if start:
            await clock.sleep(0)
        yield items[start : start + size]
