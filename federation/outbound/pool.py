"""Connections that are kept for the next request, by route."""

from collections import deque

from twisted.internet.interfaces import IDelayedCall

from federation.outbound.connection import ClientConnection
from federation.outbound.resolve import Route
from homeserver.runtime.clock import Clock

# Shorter than what the proxies before other servers keep (nginx 75 s, Go 90 s and more), so that we close first.
IDLE_S = 55.0
MAX_IDLE_PER_ROUTE = 4
MAX_IDLE = 1_000


class Pool:
    """Idle connections. The freshest is taken first, so that the rest may go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_route: dict[Route, deque[ClientConnection]] = {}
        # By age: the first has been idle longest. And since when.
        self._idle: dict[ClientConnection, tuple[Route, float]] = {}
        # One for all of them: a timer for each request costs more than all the rest of this.
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, route: Route) -> ClientConnection | None:
        while connections := self._by_route.get(route):
            connection = connections[-1]
            self.remove(connection)
            if connection.is_reusable:
                return connection
        return None

    def put(self, route: Route, connection: ClientConnection) -> None:
        """Keeps the connection, or closes what is too much."""
        if len(self._by_route.get(route, ())) >= MAX_IDLE_PER_ROUTE:
            connection.abort()
            return
        self._by_route.setdefault(route, deque()).append(connection)
        self._idle[connection] = (route, self._clock.seconds())
        if len(self._idle) > MAX_IDLE:
            self._close(next(iter(self._idle)))
        if self._timer is None:
            self._timer = self._clock.later(IDLE_S, self._close_oldest)

    def remove(self, connection: ClientConnection) -> None:
        """It is in use again, or gone."""
        found = self._idle.pop(connection, None)
        if found is None:
            return
        route, _ = found
        connections = self._by_route[route]
        connections.remove(connection)
        if not connections:
            del self._by_route[route]

    def close(self) -> None:
        for connection in list(self._idle):
            self._close(connection)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_oldest(self) -> None:
        """Those whose time is over; comes again when that of the next one is."""
        self._timer, now_s = None, self._clock.seconds()
        for connection, (_, since_s) in list(self._idle.items()):
            left_s = since_s + IDLE_S - now_s
            if left_s > 0:
                self._timer = self._clock.later(left_s, self._close_oldest)
                break
            self._close(connection)

    def _close(self, connection: ClientConnection) -> None:
        self.remove(connection)
        connection.abort()
