"""What `hearth appservice status` says of the queues: read from the tables, beside a running server or without one."""

from collections.abc import Iterable

from storage.appservice_queue import QueueStatus


def age_of(ms: int) -> str:
    """A span of time in one unit, as people say it."""
    seconds = max(0, ms) // 1000
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def lines(statuses: Iterable[QueueStatus], now_ms: int) -> list[str]:
    """One line for a service, and a second one for one that does not take what it is sent."""
    said: list[str] = []
    for one in statuses:
        if one.waiting_since_ms is None:
            said.append(f"{one.id}: up to date")
        else:
            waiting = age_of(now_ms - one.waiting_since_ms)
            said.append(f"{one.id}: a transaction under way for {waiting}, {one.positions} positions behind")
        if one.failing_since_ms is not None:
            since, fault = age_of(now_ms - one.failing_since_ms), one.fault or "no reason known"
            retry = age_of((one.retry_at_ms or now_ms) - now_ms)
            said.append(f"    has not taken it for {since}, {one.failures} attempts: {fault}; next in {retry} at most")
    return said
