"""/.well-known/matrix/server: to whom a server's name is delegated, cached within bounds.

Source: server-server API, "Resolving server names", step 3.
"""

import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.web.agent import Bounds, Fetched, FetchFailed
from matrix import canonical_json
from matrix.errors import NotCanonical
from matrix.ids import BadIdentifier, ServerName

PATH = "/.well-known/matrix/server"
# Source: server-server API, as above; as Synapse, no answer is asked for again within five minutes.
USUAL_S, MOST_S, LEAST_S = 24 * 3600.0, 48 * 3600.0, 300.0
# A failure counts for some minutes, then twice as long each time, up to an hour.
FIRST_FAILURE_S, LONGEST_FAILURE_S = 300.0, 3600.0
MAX_HOSTS = 20_000
BOUNDS = Bounds(timeout_s=10.0, max_bytes=50 * 1024, max_redirects=5, https_only=True)
# So that servers learnt of together (a large room is joined) are not asked again together.
_JITTER = 0.1
_MAX_AGE = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?([0-9]{1,9})', re.IGNORECASE)
_NOT_CACHED = re.compile(r"(?:^|,)\s*(?:no-store|no-cache)\b", re.IGNORECASE)


class Get(Protocol):
    async def __call__(self, url: str, *, bounds: Bounds) -> Fetched:
        """Raises: FetchFailed."""
        ...


@frozen
class _Known:
    """What is known of a host. `until_s`: for how long; `stale_until_s`: until when it may stand in for a failure."""

    delegated: ServerName | None
    until_s: float
    stale_until_s: float = 0.0
    failure_s: float = 0.0


class WellKnown:
    def __init__(self, *, get: Get, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._get = get
        self._clock = clock
        self._chance = chance
        self._known: Lru[str, _Known] = Lru("well_known", MAX_HOSTS)
        self._asking: set[str] = set()
        self._waiting: dict[str, list[Deferred[_Known]]] = {}

    async def delegated(self, host: str) -> ServerName | None:
        """The server that the host names; None if it names none, or cannot be asked."""
        known = self._known.get(host)
        if known is None or known.until_s <= self._clock.seconds():
            known = await self._asked(host, known)
        return known.delegated

    def _asked(self, host: str, before: _Known | None) -> "Deferred[_Known]":
        """What the host answers to the one question that is under way, or begins now.

        It goes on when a caller is cancelled, whose time may be up: the next one shall find its outcome.
        """
        waiter: Deferred[_Known] = Deferred(lambda cancelled: waiters.remove(cancelled))
        waiters = self._waiting.setdefault(host, [])
        waiters.append(waiter)
        if len(waiters) == 1 and host not in self._asking:
            self._asking.add(host)
            Deferred.fromCoroutine(self._ask(host, before)).addBoth(self._tell, host)
        return waiter

    def _tell(self, outcome: "_Known | Failure", host: str) -> None:
        self._asking.discard(host)
        if isinstance(outcome, _Known):
            self._known.set(host, outcome)
        for waiter in self._waiting.pop(host, []):
            waiter.callback(outcome)

    async def _ask(self, host: str, before: _Known | None) -> _Known:
        is_passing = True
        try:
            fetched = await self._get(f"https://{host}{PATH}", bounds=BOUNDS)
            # What a server says decidedly counts at once; a fault of its proxy may pass.
            is_passing = fetched.status >= 500 or fetched.status == 429
            delegated = _read(fetched)
        except FetchFailed:
            delegated = None
        now_s = self._clock.seconds()
        if delegated is not None:
            lives_s = self._lifetime_s(fetched.headers)
            return _Known(delegated, now_s + lives_s, now_s + MOST_S)
        failure_s = (
            FIRST_FAILURE_S if before is None else min(LONGEST_FAILURE_S, max(FIRST_FAILURE_S, 2 * before.failure_s))
        )
        if not is_passing:
            return _Known(None, now_s + LONGEST_FAILURE_S * self._jitter(), failure_s=LONGEST_FAILURE_S)
        if before is not None and before.delegated is not None and now_s < before.stale_until_s:
            # What was true yesterday is more likely than that there never was a delegation.
            return _Known(before.delegated, now_s + failure_s, before.stale_until_s, failure_s)
        return _Known(None, now_s + failure_s * self._jitter(), failure_s=failure_s)

    def _lifetime_s(self, headers: Mapping[str, str]) -> float:
        """For how long the answer counts. Source: RFC 9111, 4.2.1."""
        control, lives_s = headers.get("cache-control", ""), USUAL_S
        if _NOT_CACHED.search(control):
            lives_s = 0.0
        elif match := _MAX_AGE.search(control):
            lives_s = float(match[1])
        elif "expires" in headers:
            lives_s = self._until(headers["expires"])
        return min(MOST_S, max(LEAST_S, lives_s * self._jitter()))

    def _until(self, expires: str) -> float:
        try:
            at = parsedate_to_datetime(expires)
        except (ValueError, TypeError, OverflowError):
            # "0", say: expired already.
            return 0.0
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - self._clock.now_ms() / 1000

    def _jitter(self) -> float:
        return 1 - _JITTER * self._chance()


def _read(fetched: Fetched) -> ServerName | None:
    """The name in the answer; None if it holds none."""
    if fetched.status != 200:
        return None
    try:
        value = canonical_json.decode(fetched.body)
        name = value.get("m.server") if isinstance(value, dict) else None
        return ServerName.parse(name) if isinstance(name, str) else None
    except (NotCanonical, BadIdentifier):
        return None
