"""The HTTP server of one listener: its connections, their time limits, and the way it stops.

Behind a TLS or plain port alike: `listeners.py` gives it one.
"""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from homeserver.web.connection import Connection, Shared
from homeserver.web.exchange import Limits
from homeserver.web.outflow import OnThread
from homeserver.web.router import Router

# How often connections are asked whether they are overdue: the precision of all time limits. 10,000 connections take
# some milliseconds.
SWEEP_S = 5.0
# How often a stopping server looks whether it is empty.
_POLL_S = 0.05


class HttpServer(Factory):
    """Makes the connections of a listener.

    `proxies`: how many reverse proxies of ours stand before the listener and append to X-Forwarded-For; 0 ignores it.
    """

    noisy = False

    def __init__(
        self,
        *,
        router: Router,
        reactor: IReactorTime,
        limits: Limits | None = None,
        proxies: int = 0,
        on_thread: OnThread = deferToThread,
    ) -> None:
        self._shared = Shared(router, reactor, on_thread, limits or Limits(), proxies)
        self._reactor = reactor
        self._sweeping: IDelayedCall | None = None

    @property
    def connection_count(self) -> int:
        return len(self._shared.connections)

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        if self._sweeping is None:
            self._sweeping = self._reactor.callLater(SWEEP_S, self._sweep)
        return Connection(self._shared)

    def _sweep(self) -> None:
        """Ends overdue connections; sleeps again when there are none."""
        self._sweeping = None
        now = self._reactor.seconds()
        for connection in list(self._shared.connections):
            connection.check_time(now)
        if self._shared.connections:
            self._sweeping = self._reactor.callLater(SWEEP_S, self._sweep)

    def begin_drain(self) -> None:
        """Closes idle connections, and every other with its next answer. The port must be closed already."""
        self._shared.is_draining = True
        for connection in list(self._shared.connections):
            connection.drain()

    async def drain(self, timeout_s: float) -> None:
        """Lets running requests end for so long, then closes what is left."""
        self.begin_drain()
        end_s = self._reactor.seconds() + timeout_s
        while self._shared.connections and self._reactor.seconds() < end_s:
            await self._pause(_POLL_S)
        self.close()

    def close(self) -> None:
        """Closes all connections at once, whatever runs on them."""
        for connection in list(self._shared.connections):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def _pause(self, seconds: float) -> None:
        waited: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, waited.callback, None)
        await waited
