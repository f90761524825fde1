"""Long work in slices, so that it blocks nobody."""

from homeserver.runtime.clock import Clock

# After so long others have their turn.
SLICE_S = 0.005


class Slices:
    """One for each piece of work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.seconds()

    async def give_way(self) -> None:
        """Lets others have their turn, if this work has had a slice."""
        if self._clock.seconds() - self._began > SLICE_S:
            await self._clock.sleep(0)
            self._began = self._clock.seconds()
