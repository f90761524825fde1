"""From a server's name to where it is: the addresses to connect to, the Host header, and the name on its certificate.

Source: server-server API, "Resolving server names". The numbers are those of its steps.
"""

from functools import lru_cache
from ipaddress import ip_address

from attrs import frozen

from federation.outbound.errors import Unreachable
from federation.outbound.srv import Srv, Target
from federation.outbound.well_known import WellKnown
from matrix.ids import ServerName

PORT = 8448
# Names that need not be looked at anew for each request.
MAX_READ = 2_000


@frozen
class Route:
    """How a server is reached. `targets` are tried in their order.

    `host` is the Host header. `tls_name` is whom the certificate must be for: a DNS name, or an IP address, for which
    no SNI is sent. `step` is the one of the specification that led here, for who wants to know.
    """

    targets: tuple[Target, ...]
    host: str
    tls_name: str
    step: str


@frozen
class Authority:
    """A server name in its parts. `host` is without the brackets of an IPv6 address."""

    host: str
    port: int | None
    is_address: bool


def split(server_name: str) -> Authority:
    """Raises: Unreachable for a name that follows the grammar, but nobody can have."""
    host, port = server_name, None
    head, colon, tail = server_name.rpartition(":")
    if colon and not server_name.endswith("]"):
        host, port = head, int(tail)
    bare = host[1:-1] if host.startswith("[") else host
    is_address = host.startswith("[") or bare.replace(".", "").isdigit()
    if is_address:
        try:
            ip_address(bare)
        except ValueError as error:
            raise Unreachable(server_name, "it is no IP address") from error
    elif not all(0 < len(label) < 64 for label in bare.rstrip(".").split(".")) or len(bare) > 253:
        raise Unreachable(server_name, "it is no DNS name")
    if port is not None and not 0 < port < 65536:
        raise Unreachable(server_name, "it has no port that exists")
    return Authority(bare, port, is_address)


class Resolver:
    def __init__(self, *, well_known: WellKnown, srv: Srv) -> None:
        self._well_known = well_known
        self._srv = srv

    async def resolve(self, server_name: ServerName) -> Route:
        """Raises: Unreachable."""
        authority, direct = _read(server_name)
        if direct is not None:
            return direct
        delegated = await self._well_known.delegated(authority.host)
        if delegated is None:
            return await self._by_srv(authority.host, steps=("4", "5", "6"))
        authority = split(delegated)
        direct = _direct(delegated, authority, steps=("3.1", "3.2"))
        return direct or await self._by_srv(authority.host, steps=("3.3", "3.4", "3.5"))

    async def _by_srv(self, host: str, steps: tuple[str, str, str]) -> Route:
        """By SRV records of a host, else its own addresses. The certificate is for the host, not for the target."""
        for service, step in (("_matrix-fed", steps[0]), ("_matrix", steps[1])):
            targets = await self._srv.targets(f"{service}._tcp.{host}")
            if targets:
                return Route(tuple(targets), host, host, step)
        return Route((Target(host, PORT),), host, host, steps[2])


@lru_cache(MAX_READ)
def _read(server_name: ServerName) -> "tuple[Authority, Route | None]":
    """The name's parts, and where they lead by themselves. Raises: Unreachable."""
    authority = split(server_name)
    return authority, _direct(server_name, authority, steps=("1", "2"))


def _direct(server_name: str, authority: Authority, steps: tuple[str, str]) -> Route | None:
    """The route of an IP literal, or of a name with a port; None for a name without."""
    if not authority.is_address and authority.port is None:
        return None
    target = Target(authority.host, PORT if authority.port is None else authority.port)
    return Route((target,), server_name, authority.host, steps[0] if authority.is_address else steps[1])
