"""Looking up the addresses of other servers' names, on threads that nobody else waits for.

The system's resolver blocks, for as long as a minute where a domain's name servers are dead. On the reactor's own
threads that would hold up passwords, media and signatures.
"""

import threading
from typing import Any

from twisted.internet._resolver import GAIResolver
from twisted.internet.interfaces import IHostnameResolver
from twisted.python.threadpool import ThreadPool
from zope.interface import directlyProvides, providedBy

MAX_LOOKUPS = 30


class _Threads(ThreadPool):
    """Threads that a stopping server does not wait for."""

    @staticmethod
    def threadFactory(*args: Any, **kwargs: Any) -> threading.Thread:  # type: ignore[override]  # named too strictly
        return threading.Thread(*args, daemon=True, **kwargs)


class NamesReactor:
    """The reactor, but with threads of its own for names."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        threads = _Threads(0, MAX_LOOKUPS, "names")
        threads.start()
        self.nameResolver: IHostnameResolver = GAIResolver(reactor, lambda: threads)
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
