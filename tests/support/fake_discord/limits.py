"""Rate limits: a bucket for a route and its major parameter, the global one, and the ban of who asks wrongly.

Source: Discord developer documentation, "Rate Limits".
"""

import hashlib
import time
from collections.abc import Mapping

from attrs import define, field, frozen

# How many requests in how many seconds. What is not named is as generous as the global limit.
LIMITS: Mapping[str, tuple[int, float]] = {
    "POST /channels/{channel}/messages": (5, 5.0),
    "PATCH /channels/{channel}/messages/{message}": (5, 5.0),
    "DELETE /channels/{channel}/messages/{message}": (5, 5.0),
    "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me": (1, 0.25),
    "DELETE /channels/{channel}/messages/{message}/reactions/{emoji}/{user}": (1, 0.25),
    "POST /webhooks/{webhook}/{token}": (5, 2.0),
    "PATCH /webhooks/{webhook}/{token}/messages/{message}": (5, 2.0),
    # Twice in ten minutes: the one limit on which bots that follow names of channels always trip.
    "PATCH /channels/{channel}": (2, 600.0),
    "POST /channels/{channel}/typing": (5, 5.0),
}
OTHERWISE = (50, 1.0)
GLOBAL = (50, 1.0)
INVALID = (10_000, 600.0)


@define
class Window:
    """A number of permits, all new when its time is over."""

    limit: int
    per_s: float
    left: int = field(init=False)
    ends: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.left = self.limit

    def take(self) -> bool:
        """Whether one was left."""
        now = time.time()
        if now >= self.ends:
            self.left, self.ends = self.limit, now + self.per_s
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def reset_after_s(self) -> float:
        return max(0.0, self.ends - time.time())


@frozen
class Verdict:
    """Whether a request may pass, and what stands in its headers."""

    allowed: bool
    headers: dict[str, str]
    retry_after_s: float = 0.0
    is_global: bool = False


class Limits:
    """`scale` shortens every window, that tests need not wait; `limits` overrides single routes."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.limits: dict[str, tuple[int, float]] = dict(LIMITS)
        self._buckets: dict[tuple[str, str], Window] = {}
        self._global = Window(GLOBAL[0], GLOBAL[1] * scale)
        self.invalid = Window(*INVALID)
        self.banned = False

    def ask(self, route: str, major: str, *, counts_globally: bool) -> Verdict:
        # Webhooks and interactions are outside of the global limit.
        if counts_globally and not self._global.take():
            after = self._global.reset_after_s()
            return Verdict(False, {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}, after, True)
        limit, per_s = self.limits.get(route, OTHERWISE)
        bucket = self._buckets.setdefault((route, major), Window(limit, per_s * self.scale))
        allowed = bucket.take()
        headers = {
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(bucket.left),
            "X-RateLimit-Reset": f"{bucket.ends:.3f}",
            "X-RateLimit-Reset-After": f"{bucket.reset_after_s():.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(route.encode()).hexdigest()[:32],
        }
        if not allowed:
            headers["X-RateLimit-Scope"] = "user"
        return Verdict(allowed, headers, bucket.reset_after_s())

    def count_invalid(self) -> None:
        """A 401, 403 or 429 was answered: too many and the address is banned."""
        if not self.invalid.take():
            self.banned = True
