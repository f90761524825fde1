"""The collector of garbage, where tens of thousands of objects come at once that live for long.

It would go through all of them again and again while they come, tens of milliseconds each time, and everybody waits.
"""

import gc


def leave_alone() -> None:
    """What is alive now is not looked through any more; it goes when nothing refers to it, as most objects do.

    Costs nothing. What is part of a cycle by now stays for ever: not for where errors and their tracebacks are at home.
    """
    gc.freeze()
