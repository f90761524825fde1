"""The collector of garbage, and what lives long: caches, and tens of thousands of objects that come at once.

It would go through all of them again and again, tens of milliseconds each time, and everybody waits.
"""

import gc


def look_seldom() -> None:
    """Requests, and modules, make thousands of objects without cycles: every 700 is too often."""
    gc.set_threshold(10_000, 20, 20)


def leave_alone() -> None:
    """What is alive now is not looked through any more; it goes when nothing refers to it, as most objects do.

    Costs nothing. What is part of a cycle stays until `look_through`.
    """
    gc.freeze()


def look_through() -> None:
    """Frees what is part of a cycle among all that was left alone. Takes 100 ms for a million objects."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
