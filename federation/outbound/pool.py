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
        # By age: the first has been idle longest.
        self._idle: dict[ClientConnection, tuple[Route, IDelayedCall]] = {}

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
        self._idle[connection] = (route, self._clock.later(IDLE_S, self._close, connection))
        if len(self._idle) > MAX_IDLE:
            self._close(next(iter(self._idle)))

    def remove(self, connection: ClientConnection) -> None:
        """It is in use again, or gone."""
        found = self._idle.pop(connection, None)
        if found is None:
            return
        route, timer = found
        if timer.active():
            timer.cancel()
        connections = self._by_route[route]
        connections.remove(connection)
        if not connections:
            del self._by_route[route]

    def close(self) -> None:
        for connection in list(self._idle):
            self._close(connection)

    def _close(self, connection: ClientConnection) -> None:
        self.remove(connection)
        connection.abort()
