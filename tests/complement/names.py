"""Names of a test's network: those of its hosts file, and no others. No name server is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It has ended already."""


@implementer(IHostnameResolver)
class HostsFile:
    """A resolver for a reactor, by a file of the form of /etc/hosts that is read each time: servers come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        address = self.address_of(hostName)
        if address is not None and (not addressTypes or IPv4Address in addressTypes):
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    def address_of(self, name: str) -> str | None:
        for line in self._path.read_text().splitlines():
            address, *names = line.split()
            if name.rstrip(".").lower() in names:
                return address
        return None


async def no_services(name: str) -> Sequence[Any]:
    """In place of federation.outbound.srv.SystemDns: in a test's network there are no SRV records."""
    return []
