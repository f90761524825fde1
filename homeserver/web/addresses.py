"""Which addresses we may connect to on a stranger's behalf.

URLs of previews, push gateways and the like come from users. Without this rule they could make us ask services that
trust our network: SSRF.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Synapse's `ip_range_blacklist` default, and the whole of fec0::/10, 64:ff9b:1::/48 and 240.0.0.0/4: all that is not
# the public internet. Source: the IANA special-purpose address registries.
DEFAULT_BLOCKLIST = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip

_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = IPv6Network("::/96")


class AddressRefused(Exception):
    """The address is on the blocklist. The message does not say which: that would map our network for the asker."""

    def __init__(self) -> None:
        super().__init__("the address is not allowed")


@frozen
class AddressRules:
    """Networks not to connect to, unless one that is allowed contains the address."""

    blocked: tuple[Network, ...]
    allowed: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, blocked: Iterable[str] = DEFAULT_BLOCKLIST, allowed: Iterable[str] = ()) -> "AddressRules":
        """Raises: ValueError for what is no network."""
        return cls(tuple(map(_network, blocked)), tuple(map(_network, allowed)))

    def refuses(self, address: Address) -> bool:
        """Also for an IPv4 address that is wrapped in an IPv6 one."""
        forms = [address, *_embedded(address)]
        if any(form in network for form in forms for network in self.allowed):
            return False
        return any(form in network for form in forms for network in self.blocked)

    def check(self, host: str) -> None:
        """Raises: AddressRefused if the IP literal is refused, and for what is no IP literal."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError as error:
            raise AddressRefused from error
        if self.refuses(address):
            raise AddressRefused


def _network(text: str) -> Network:
    return ip_network(text, strict=False)


def _embedded(address: Address) -> list[Address]:
    """The IPv4 addresses that a packet to this IPv6 address may end up at: mapped, 6to4, Teredo, NAT64, compatible."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        found.append(address.teredo[1])
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
