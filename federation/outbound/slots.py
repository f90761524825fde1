"""How many requests may be under way at once to one server, and to all.

A server that answers slowly holds up only who asks it; its share of what is open is bounded.
"""

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred

from federation.outbound.errors import Unreachable
from homeserver.runtime.clock import Clock
from matrix.ids import ServerName

# One transaction at a time and some questions of users; media has its own connections' bound in the pool.
MAX_AT_ONCE = 20
MAX_WAITING = 200


@define(eq=False)
class _Server:
    running: int = 0
    freed: int = 0
    is_handing_over: bool = False
    waiting: deque["Deferred[None]"] = field(factory=deque)


class Slots:
    """`async with slots.of(server, timeout_s):` within, one of the server's places is ours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: dict[ServerName, _Server] = {}
        self.waiting = 0

    def of(self, destination: ServerName, timeout_s: float) -> "_Place":
        """Raises on entry: Unreachable, if too many wait already, or for too long."""
        return _Place(self, destination, timeout_s)

    async def enter(self, destination: ServerName, timeout_s: float) -> _Server:
        server = self._servers.get(destination)
        if server is None:
            server = self._servers[destination] = _Server()
        if server.running >= MAX_AT_ONCE:
            await self._wait(destination, server, timeout_s)
        else:
            server.running += 1
        return server

    async def _wait(self, destination: ServerName, server: _Server, timeout_s: float) -> None:
        """Comes back with a place that somebody has handed over."""
        if len(server.waiting) >= MAX_WAITING:
            raise Unreachable(destination, "too many requests to it are waiting")
        turn: Deferred[None] = Deferred(server.waiting.remove)
        server.waiting.append(turn)
        self.waiting += 1
        try:
            await self._clock.timeout(turn, timeout_s)
        except TimeoutError as error:
            raise Unreachable(destination, "too many requests to it are under way") from error
        finally:
            self.waiting -= 1

    def free(self, destination: ServerName, server: _Server) -> None:
        """Hands the place over. A loop, not a recursion: hundreds who wait may each be done at once."""
        server.freed += 1
        if server.is_handing_over:
            return
        server.is_handing_over = True
        while server.freed and server.waiting:
            server.freed -= 1
            server.waiting.popleft().callback(None)
        server.is_handing_over = False
        server.running -= server.freed
        server.freed = 0
        if not server.running:
            self._servers.pop(destination, None)


class _Place:
    """A tenth of the cost of contextlib's: every message to another server comes by."""

    __slots__ = ("_destination", "_server", "_slots", "_timeout_s")

    def __init__(self, slots: Slots, destination: ServerName, timeout_s: float) -> None:
        self._slots = slots
        self._destination = destination
        self._timeout_s = timeout_s

    async def __aenter__(self) -> None:
        self._server = await self._slots.enter(self._destination, self._timeout_s)

    async def __aexit__(self, *_: object) -> None:
        self._slots.free(self._destination, self._server)
