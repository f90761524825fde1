"""Coroutines side by side, each ended before any fault is told."""

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs coroutines at the same time; raises the first error when all have ended."""
    coroutines = list(work)
    if len(coroutines) == 1:
        return await coroutines[0]
    results: Sequence[tuple[bool, object]] = await DeferredList(
        [Deferred.fromCoroutine(one) for one in coroutines], consumeErrors=True
    )
    for is_good, result in results:
        if not is_good and isinstance(result, Failure):
            result.raiseException()
