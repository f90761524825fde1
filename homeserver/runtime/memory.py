"""Memory that was freed, and that the allocator keeps for the thread that had it."""

import ctypes
import functools
from collections.abc import Callable

# Source: jemalloc's manual, "arena.<i>.purge", MALLCTL_ARENAS_ALL.
_ALL_ARENAS = b"arena.4096.purge"


def give_back() -> None:
    """Gives what is free back to the system, after work that needed megabytes: an image, decoded, has four a megapixel.

    The thread that did it may sleep for hours, and so long its allocator would hold them. Takes a millisecond.
    """
    _give_back()()


@functools.cache
def _give_back() -> Callable[[], object]:
    """The way of the allocator that is there: jemalloc, where it is preloaded, or glibc's. Others keep little."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallctl"):
        return lambda: library.mallctl(_ALL_ARENAS, None, None, None, ctypes.c_size_t(0))
    if hasattr(library, "malloc_trim"):
        return lambda: library.malloc_trim(ctypes.c_size_t(0))
    return lambda: None
