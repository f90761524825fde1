"""Memory that is free goes back to the system when it is asked for."""

import sys
from pathlib import Path

import pytest

from homeserver.runtime.memory import give_back

COUNT, SIZE = 1_000, 64_000


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_what_is_free_between_what_is_not_goes_back_to_the_system() -> None:
    kept = [bytes([1]) * SIZE for _ in range(COUNT)]
    full = resident_bytes()
    # Every second one: what remains keeps the allocator from giving back all at once of its own accord.
    del kept[::2]
    give_back()
    assert resident_bytes() < full - COUNT * SIZE // 4
    assert len(kept) == COUNT // 2
