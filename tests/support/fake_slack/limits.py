"""How often a method may be called: Slack's tiers, a window of a minute for each app and method."""

import math
import time
from collections import defaultdict, deque

# Calls a minute. Slack grants "tier 2: 20+": the fake holds to the number without the plus.
TIERS = {"1": 1, "2": 20, "3": 50, "4": 100, "special": 600}


class Limits:
    """`minute_s`: how long a minute takes, so that a test need not wait for a real one."""

    def __init__(self) -> None:
        self.minute_s = 60.0
        self.post_interval_s = 1.0
        # Slack allows short bursts of posts; how short it does not say.
        self.post_burst = 5
        self.enabled = True
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._posts: dict[str, float] = {}
        self.refused = 0

    def hold(self, app_id: str, method: str, tier: str) -> int | None:
        """None, or the seconds after which to try again."""
        calls, now = self._calls[(app_id, method)], time.monotonic()
        while calls and calls[0] <= now - self.minute_s:
            calls.popleft()
        if self.enabled and len(calls) >= TIERS[tier]:
            self.refused += 1
            return max(1, math.ceil(calls[0] + self.minute_s - now))
        calls.append(now)
        return None

    def hold_post(self, app_id: str, channel_id: str) -> int | None:
        """One a second in a channel, with a burst."""
        key, now = f"{app_id} {channel_id}", time.monotonic()
        due = max(self._posts.get(key, 0.0), now - self.post_interval_s * self.post_burst)
        if self.enabled and due + self.post_interval_s > now + 0.001:
            self.refused += 1
            return max(1, math.ceil(due + self.post_interval_s - now))
        self._posts[key] = due + self.post_interval_s
        return None
