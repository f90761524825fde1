"""SRV records: which hosts and ports serve a name, in the order to try them.

Source: RFC 2782; server-server API, "Resolving server names".
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import TimeoutError as DnsTimeout
from twisted.internet.error import ConnectError
from twisted.names import dns
from twisted.names.client import Resolver as DnsResolver
from twisted.names.error import DNSQueryTimeoutError, DomainError, ResolverError

from federation.outbound.errors import Unreachable
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock

MAX_RECORDS = 16
MAX_NAMES = 20_000
# However long or short the records claim to live.
LEAST_S, MOST_S = 60, 3600
# How long "there is none" holds, which is what most names answer.
NONE_S = 300.0
# Two questions, as resolvers ask them: what is lost on the way is asked for again.
_TIMEOUTS_S = (2, 4)


@frozen
class SrvRecord:
    priority: int
    weight: int
    host: str
    port: int
    ttl_s: int = 3600


@frozen
class Target:
    """Where to connect: a DNS name or an IP address without brackets."""

    host: str
    port: int


class AskDns(Protocol):
    async def __call__(self, name: str) -> Sequence[SrvRecord]:
        """The SRV records of a name; none if there are none, or nobody can tell."""
        ...


class Srv:
    """Looks up SRV records, and remembers them for as long as they live."""

    def __init__(self, *, ask: AskDns, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._ask = ask
        self._clock = clock
        self._chance = chance
        self._known: Lru[str, tuple[float, Sequence[SrvRecord]]] = Lru("srv", MAX_NAMES)

    async def targets(self, name: str) -> list[Target]:
        """The targets in the order to try them, none if there is no record.

        Raises: Unreachable where the record says that the service is decidedly not available.
        """
        known = self._known.get(name)
        if known is None or known[0] <= self._clock.seconds():
            records = list(await self._ask(name))[:MAX_RECORDS]
            lives_s = min((record.ttl_s for record in records), default=NONE_S)
            lives_s = min(MOST_S, max(LEAST_S, lives_s))
            known = (self._clock.seconds() + lives_s, records)
            self._known.set(name, known)
        if [record.host for record in known[1]] in (["."], [""]):
            raise Unreachable(name, "its SRV record says that there is no such service")
        return [Target(record.host.rstrip("."), record.port) for record in in_order(known[1], self._chance)]


def in_order(records: Sequence[SrvRecord], chance: Callable[[], float]) -> list[SrvRecord]:
    """By priority, the lowest first; among equals by chance, in proportion to the weights. Source: RFC 2782."""
    ordered = []
    # Those of weight 0 first, so that they have a small chance of being chosen.
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    while left:
        equals = [record for record in left if record.priority == left[0].priority]
        at = chance() * sum(record.weight for record in equals)
        for record in equals:
            at -= record.weight
            if at <= 0:
                break
        ordered.append(record)
        left.remove(record)
    return ordered


class SystemDns:
    """Asks the name servers of this machine."""

    def __init__(self, reactor: Any, resolv_conf: str = "/etc/resolv.conf") -> None:
        self._resolver = DnsResolver(resolv=resolv_conf, timeout=_TIMEOUTS_S, reactor=reactor)  # type: ignore[no-untyped-call]

    async def __call__(self, name: str) -> Sequence[SrvRecord]:
        try:
            answers, _, _ = await self._resolver.lookupService(  # type: ignore[no-untyped-call]
                name, timeout=_TIMEOUTS_S
            )
        except (DomainError, ResolverError, DNSQueryTimeoutError, DnsTimeout, ConnectError, OSError, ValueError):
            # Also where nobody answers: in many networks only the system's resolver knows any name.
            return []
        return [
            SrvRecord(
                answer.payload.priority,
                answer.payload.weight,
                str(answer.payload.target),
                answer.payload.port,
                int(answer.ttl),
            )
            for answer in answers
            if answer.type == dns.SRV and isinstance(answer.payload, dns.Record_SRV)
        ]
