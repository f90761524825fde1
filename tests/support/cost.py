"""What work costs in processor time."""

import gc
import time
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def timed(work: Callable[[], Made]) -> tuple[float, Made]:
    """Seconds of processor time of this thread alone, and what the work gave.

    Without the collector: how long one of its rounds takes depends on all tests that ran before.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        started = time.thread_time()
        made = work()
        return time.thread_time() - started, made
    finally:
        if was_on:
            gc.enable()
