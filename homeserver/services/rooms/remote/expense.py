"""What other servers may make us fetch: so many events by each server, and so many for each room.

The budget of one event that comes (gathering.py) bounds what that event costs. Whoever sends one such event after
another is bounded here: what we fetch we have to verify, judge and keep. Both bounds lie above what the largest rooms
ask of us; a room under fire does not use up what others need, and neither does a hostile server.
"""

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.ratelimit import RateLimit
from homeserver.runtime.turns import TurnRules, Turns
from matrix.errors import LimitExceeded
from matrix.ids import ServerName

# The largest rooms have some 200,000 state and auth events. An event costs some 100 us: in the long run 1 % of a core.
EVENTS_AT_ONCE, EVENTS_PER_S = 500_000, 100.0
# One server alone does not use up what a room may cost.
SERVERS_OF_A_ROOM = 4
# An id is looked up with hundreds of others.
IDS_PER_EVENT = 20
# Whole states, of up to 200 MB each, that one server tells at the same time.
STATES_AT_ONCE, MAX_WAITING = 3, 500


class Expense:
    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._by_server = RateLimit(EVENTS_PER_S, EVENTS_AT_ONCE, clock)
        self._by_room = RateLimit(SERVERS_OF_A_ROOM * EVENTS_PER_S, SERVERS_OF_A_ROOM * EVENTS_AT_ONCE, clock)
        rules = TurnRules(
            window_s=1.0, sleep_limit=1_000, sleep_s=0.0, reject_limit=MAX_WAITING, concurrent=STATES_AT_ONCE
        )
        # `async with states.of(server):` around the request and all that is done with its answer.
        self.states = Turns(rules, clock)
        self._refused = metrics.counter("federation_fetches_refused", "Nothing more is fetched for them", ["by"])

    def is_exceeded(self, server: ServerName, room_nid: int) -> bool:
        for by, limit, key in (("server", self._by_server, server), ("room", self._by_room, room_nid)):
            try:
                limit.check(key)
            except LimitExceeded:
                self._refused.labels(by).inc()
                return True
        return False

    def add(self, server: ServerName, room_nid: int, *, events: int = 0, ids: int = 0) -> None:
        """So many were told."""
        cost = events + ids / IDS_PER_EVENT
        self._by_server.owe(server, cost)
        self._by_room.owe(room_nid, cost)
