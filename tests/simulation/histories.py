"""Random histories of a room on several servers, as lists of steps that mean the same wherever they stand.

Steps name users, servers and deliveries by numbers that are taken modulo what is there, so that any part of a history
is a history too: a failing one can be made smaller by leaving out steps.
"""

import random
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

VERSIONS = ("12", "12", "11", "10", "9", "6", "3", "2")
SERVERS, USERS_EACH = 3, 2
MESSAGE, STATE, LEVEL, MEMBER = "message", "state", "level", "member"
DELIVER, DOUBLE, DROP, TOGETHER, CUT, MEND = "deliver", "double", "drop", "together", "cut", "mend"
ACTIONS = ("kick", "ban", "unban", "invite", "join", "leave")
STATE_TYPES = ("m.room.topic", "m.room.name", "org.example.state", "m.room.join_rules", "m.room.history_visibility")

_WEIGHTS = {MESSAGE: 6, STATE: 6, LEVEL: 2, MEMBER: 4, DELIVER: 18, DOUBLE: 1, DROP: 2, TOGETHER: 2, CUT: 1, MEND: 2}


@frozen
class Step:
    kind: str
    a: int = 0
    b: int = 0
    c: int = 0


@frozen
class History:
    version: str
    steps: tuple[Step, ...]


def history_of(seed: int, length: int = 60) -> History:
    chance = random.Random(seed)
    kinds = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=length)
    steps = tuple(Step(kind, *(chance.randrange(1 << 16) for _ in range(3))) for kind in kinds)
    return History(chance.choice(VERSIONS), steps)


async def shrink(history: History, fails: Callable[[History], Awaitable[bool]], tries: int = 200) -> History:
    """A smaller history that fails too: steps are left out, in ever smaller parts, as long as it still does."""
    size = max(1, len(history.steps) // 2)
    while tries > 0:
        at, has_shrunk = 0, False
        while at < len(history.steps) and tries > 0:
            smaller = History(history.version, _without(history.steps, at, size))
            tries -= 1
            if await fails(smaller):
                history, has_shrunk = smaller, True
            else:
                at += size
        if size == 1 and not has_shrunk:
            break
        size = max(1, size // 2)
    return history


def _without(steps: Sequence[Step], at: int, size: int) -> tuple[Step, ...]:
    return (*steps[:at], *steps[at + size :])
