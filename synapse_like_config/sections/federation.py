"""Talking to other servers, and to the outer world at all."""

from pathlib import Path

from attrs import frozen

from matrix.ids import ServerName
from synapse_like_config.reading import option, section
from synapse_like_config.units import Milliseconds, Network

# Synapse's, and what has been reserved since: all that is not the public internet.
PRIVATE_NETWORKS = tuple(
    map(
        Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64",
            "2001:db8::/32", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        ),
    )
)  # fmt: skip


@frozen
class Retries:
    """How requests to other servers are repeated."""

    client_timeout: Milliseconds = option(
        Milliseconds(60_000), "How long to wait for an answer. What takes longer or less as a rule is in proportion."
    )
    max_short_retry_delay: Milliseconds = option(
        Milliseconds(2_000), "The longest pause before a request is repeated at once."
    )
    max_long_retry_delay: Milliseconds = option(
        Milliseconds(60_000), "The longest pause before a server that does not answer counts as gone."
    )
    max_short_retries: int = option(1, "How often a request is repeated at once. (3 for Synapse.)")
    max_long_retries: int = option(
        2, "How often a server is tried again, at growing intervals, before it counts as gone. (10 for Synapse.)"
    )
    destination_min_retry_interval: Milliseconds = option(
        Milliseconds(60_000), "How long a server that does not answer is left alone, at first."
    )
    destination_retry_multiplier: float = option(2.0, "By which factor that grows each time.")
    destination_max_retry_interval: Milliseconds = option(
        Milliseconds(3_600_000), "And at most. More than an hour counts as an hour."
    )


@frozen
class Federation:
    """Talking to other servers."""

    federation_domain_whitelist: tuple[ServerName, ...] | None = option(
        None, "The only servers to talk to. Null: all; an empty list: none."
    )
    federation_whitelist_endpoint_enabled: bool = option(False, "Whether users may ask for the list above.")
    federation_verify_certificates: bool = option(True, "Whether other servers must have a valid certificate.")
    federation_certificate_verification_whitelist: tuple[str, ...] = option(
        (), "Servers that need none; `*.example.org` is a pattern."
    )
    federation_custom_ca_list: tuple[Path, ...] = option(
        (), "Files with certificate authorities to trust in place of the system's."
    )
    federation_client_minimum_tls_version: str = option(
        "1.2",
        "The least version of TLS to speak with other servers; 1.0 and 1.1 count as 1.2.",
        read=lambda raw: str(raw),
    )
    ip_range_blacklist: tuple[Network, ...] = option(
        PRIVATE_NETWORKS, "Networks never to connect to, for federation, push and previews."
    )
    ip_range_whitelist: tuple[Network, ...] = option((), "Networks to connect to all the same.")
    allow_profile_lookup_over_federation: bool = option(True, "Whether other servers may ask for users' profiles.")
    allow_device_name_lookup_over_federation: bool = option(
        False, "Whether other servers see the names of users' devices."
    )
    federation: Retries = section(Retries, "Time-outs and repetitions.")
    federation_rr_transactions_per_room_per_second: int = option(
        50, "The most read receipts, for each room and second, to send to others at once."
    )

    def may_talk_to(self, server_name: str) -> bool:
        allowed = self.federation_domain_whitelist
        return allowed is None or server_name in allowed
