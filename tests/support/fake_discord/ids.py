"""Snowflakes: the 64-bit ids of Discord, with the time of their making in the upper bits."""

import time
from datetime import UTC, datetime

# The first second of 2015, from which Discord counts.
EPOCH_MS = 1420070400000


class Snowflakes:
    """Ids that only grow, as text: so Discord sends them."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        self._last = max(self._last + 1, (int(time.time() * 1000) - EPOCH_MS) << 22)
        return str(self._last)

    def at(self, moment: datetime) -> str:
        """An id as if made then; for history that is older than the test."""
        return str((int(moment.timestamp() * 1000) - EPOCH_MS) << 22)


def now() -> str:
    """This moment as Discord writes it."""
    return datetime.now(UTC).isoformat()


def made_at(snowflake: str) -> str:
    """When a snowflake was made, as Discord writes it."""
    return datetime.fromtimestamp(((int(snowflake) >> 22) + EPOCH_MS) / 1000, UTC).isoformat()
